//! Each guard, called through the library, on simulated machines.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kmodlab::guard::machine::{Machine, made_up};
use kmodlab::guard::{self, GuardAnswer, Override, Overrides, PlannedWrite, Ruling};
use kmodlab::kernel::{self, Kernel, Lookup};
use kmodlab::module::Module;
use kmodlab::module::container::DEFAULT_MAX_SIZE;
use kmodlab::patch::{Modversions, NewVermagic, Plan, Request, Signature};
use tempfile::TempDir;

use crate::guards::fixture;

/// The release that the simulated machines run.
const RUNNING: &str = "6.1.0-47-amd64";
const NONE: Overrides = Overrides::none();

/// A simulated machine: a folder that looks like a root folder.
struct Root {
    folder: TempDir,
}

impl Root {
    fn new() -> Root {
        Root { folder: tempfile::tempdir().unwrap() }
    }

    /// The canonical path of its folder, as the guards require.
    fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// Writes a file of the machine, and creates its parent folders.
    fn write(&self, place: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A module of the machine.
    fn module(&self, place: &str) -> PathBuf {
        self.write(place, fs::read(fixture("hello-4.ko")).unwrap())
    }

    fn link(&self, to: &str, from: &str) {
        let from = self.path().join(from);
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        symlink(to, from).unwrap();
    }

    fn machine(&self) -> Machine {
        made_up(self.path(), RUNNING, false)
    }

    fn lab_machine(&self) -> Machine {
        made_up(self.path(), RUNNING, true)
    }
}

/// The answers of all guards to a plan that blanks the vermagic of the file at `path`.
fn ask(path: &Path, machine: &Machine) -> Vec<GuardAnswer> {
    ask_for(path, machine, &NewVermagic::Blank, Signature::Refuse, NONE)
}

fn ask_for(
    path: &Path,
    machine: &Machine,
    new_vermagic: &NewVermagic,
    signature: Signature,
    overrides: Overrides,
) -> Vec<GuardAnswer> {
    ask_for_kernel(None, path, machine, new_vermagic, signature, overrides)
}

/// A kernel whose `struct module` and CRCs differ from those of hello-4.ko.
fn another_kernel() -> Kernel {
    let lookup = Lookup { max_size: DEFAULT_MAX_SIZE, cache: None };
    let mut kernel = kernel::named(fixture("hello-4-rt.ko").as_os_str(), &lookup).unwrap();
    kernel.facts.fingerprint.as_mut().unwrap().value.size = 0x3c0;
    kernel
}

/// Like [`ask_for`], for a patch that is to fit a kernel.
fn ask_for_kernel(
    kernel: Option<&Kernel>,
    path: &Path,
    machine: &Machine,
    new_vermagic: &NewVermagic,
    signature: Signature,
    overrides: Overrides,
) -> Vec<GuardAnswer> {
    ask_about(&Request::new(new_vermagic.clone(), signature), kernel, path, machine, overrides)
}

/// Like [`ask_for_kernel`], with any other request.
fn ask_about(
    request: &Request,
    kernel: Option<&Kernel>,
    path: &Path,
    machine: &Machine,
    overrides: Overrides,
) -> Vec<GuardAnswer> {
    let bytes = fs::read(path).unwrap();
    let plan = Plan::make(&bytes, request).unwrap();
    let module = &plan.module;
    let obstacles = guard::obstacles(path, false, &plan).unwrap();
    let write = PlannedWrite {
        path,
        is_new: false,
        module,
        name: "hello_4",
        plan: &plan,
        kernel,
        obstacles: &obstacles,
        is_confirmed: true,
    };
    guard::ask(&write, machine, overrides)
}

/// The names of the guards with this ruling.
fn who(answers: &[GuardAnswer], ruling: Ruling) -> Vec<&'static str> {
    answers.iter().filter(|answer| answer.ruling == ruling).map(|answer| answer.guard.name()).collect()
}

/// The reason that a guard gives.
fn why(answers: &[GuardAnswer], guard: &str) -> String {
    answers.iter().find(|answer| answer.guard.name() == guard).unwrap().reason.to_string()
}

#[track_caller]
fn assert_refused_by(answers: &[GuardAnswer], guards: &[&str]) {
    assert_eq!(who(answers, Ruling::Refuse), guards, "{answers:#?}");
}

#[test]
fn an_ordinary_file_passes_all_guards() {
    let root = Root::new();
    root.module(&format!("lib/modules/{RUNNING}/kernel/other.ko"));
    root.write("proc/modules", "dummy 16384 0 - Live 0x0000000000000000\n");
    root.write("var/lib/dpkg/info/linux-image.list", "/lib/modules/6.1.0-47-amd64/kernel/other.ko\n");
    let module = root.module("home/person/hello-4.ko");
    let answers = ask(&module, &root.machine());
    assert_refused_by(&answers, &[]);
    assert_eq!(who(&answers, Ruling::Pass).len(), guard::Guard::ALL.len());
}

// ---- live-tree -----------------------------------------------------------------------------------------------------

#[test]
fn live_tree_by_its_path() {
    let root = Root::new();
    let module = root.module(&format!("lib/modules/{RUNNING}/kernel/drivers/net/hello-4.ko"));
    let answers = ask(&module, &root.machine());
    assert_refused_by(&answers, &["live-tree", "installed-tree"]);
    assert_eq!(why(&answers, "live-tree"), "it is in the module tree of the running kernel 6.1.0-47-amd64");
}

#[test]
fn live_tree_below_usr_with_lib_a_link_to_it() {
    let root = Root::new();
    let module = root.module(&format!("usr/lib/modules/{RUNNING}/updates/hello-4.ko"));
    root.link("usr/lib", "lib");
    assert_refused_by(&ask(&module, &root.machine()), &["live-tree", "installed-tree"]);
    let by_link = root.path().join(format!("lib/modules/{RUNNING}/updates/hello-4.ko"));
    assert_refused_by(&ask(&by_link, &root.machine()), &["live-tree", "installed-tree"]);
}

#[test]
fn live_tree_that_is_itself_a_link() {
    let root = Root::new();
    let module = root.module("srv/modules/running/hello-4.ko");
    root.link("../../srv/modules/running", &format!("lib/modules/{RUNNING}"));
    assert_refused_by(&ask(&module, &root.machine()), &["live-tree", "installed-tree"]);
}

/// The tree is identified by the release, whatever other names for it exist next to it.
#[test]
fn live_tree_with_other_names_next_to_it() {
    let root = Root::new();
    let module = root.module(&format!("lib/modules/{RUNNING}/hello-4.ko"));
    for n in 0..32 {
        root.link(RUNNING, &format!("lib/modules/name-{n}"));
    }
    assert_refused_by(&ask(&module, &root.machine()), &["live-tree", "installed-tree"]);
}

/// A bind mount shows the same device and inode at another path; so does a hard link, which needs no root. (The file then has
/// two names, which the guard file-kind refuses as well. `machine` tests the real bind mount.)
#[test]
fn live_tree_by_device_and_inode() {
    let root = Root::new();
    let module = root.module(&format!("lib/modules/{RUNNING}/kernel/hello-4.ko"));
    let elsewhere = root.path().join("hello-4.ko");
    fs::hard_link(module, &elsewhere).unwrap();
    assert_refused_by(&ask(&elsewhere, &root.machine()), &["file-kind", "live-tree"]);
}

#[test]
fn live_tree_is_no_place_for_a_new_file_either() {
    let root = Root::new();
    let module = root.module("home/hello-4.ko");
    fs::create_dir_all(root.path().join(format!("lib/modules/{RUNNING}/extra"))).unwrap();
    let new = root.path().join(format!("lib/modules/{RUNNING}/extra/new.ko"));
    let bytes = fs::read(module).unwrap();
    let plan = Plan::make(&bytes, &Request::new(NewVermagic::Blank, Signature::Refuse)).unwrap();
    let module = Module::read(&bytes).unwrap();
    let write = PlannedWrite {
        path: &new,
        is_new: true,
        module: &module,
        name: "hello_4",
        plan: &plan,
        kernel: None,
        obstacles: &[],
        is_confirmed: true,
    };
    assert_refused_by(&guard::ask(&write, &root.machine(), NONE), &["live-tree", "installed-tree"]);
}

#[test]
fn a_tree_whose_name_only_begins_alike_is_not_the_live_one() {
    let root = Root::new();
    fs::create_dir_all(root.path().join(format!("lib/modules/{RUNNING}"))).unwrap();
    let module = root.module(&format!("lib/modules/{RUNNING}-custom/hello-4.ko"));
    assert_refused_by(&ask(&module, &root.machine()), &["installed-tree"]);
}

#[test]
fn live_trees_of_systems_that_have_them_elsewhere() {
    for home in ["run/booted-system/kernel-modules/lib/modules", "vendor/lib/modules", "system/lib/modules"] {
        let root = Root::new();
        let module = root.module(&format!("{home}/{RUNNING}/hello-4.ko"));
        assert_refused_by(&ask(&module, &root.machine()), &["live-tree", "installed-tree"]);
    }
}

// ---- loaded --------------------------------------------------------------------------------------------------------

/// A build ID as sysfs shows it: the three words of the note in the machine's byte order, "GNU", the ID.
fn note(id: &[u8]) -> Vec<u8> {
    let words = [4, id.len() as u32, 3].map(u32::to_ne_bytes).concat();
    [&words[..], b"GNU\0", id].concat()
}

fn build_id() -> Vec<u8> {
    Module::read(&fs::read(fixture("hello-4.ko")).unwrap()).unwrap().build_id.unwrap()
}

#[test]
fn loaded_by_name_as_proc_modules_has_it() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    root.write("proc/modules", "snd 126976 1 - Live 0x0\nhello_4 16384 0 - Live 0x0000000000000000 (OE)\n");
    let answers = ask(&module, &root.machine());
    assert_refused_by(&answers, &["loaded"]);
    assert_eq!(why(&answers, "loaded"), "a module named hello_4 is loaded now");
}

#[test]
fn loaded_by_name_as_sysfs_has_it_dash_or_underscore() {
    for name in ["hello_4", "hello-4"] {
        let root = Root::new();
        let module = root.module("hello-4.ko");
        root.write(&format!("sys/module/{name}/initstate"), "live\n");
        assert_refused_by(&ask(&module, &root.machine()), &["loaded"]);
    }
}

#[test]
fn loaded_under_another_name_by_its_build_id() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    root.write("sys/module/renamed/initstate", "live\n");
    root.write("sys/module/renamed/notes/.note.gnu.build-id", note(&build_id()));
    let answers = ask(&module, &root.machine());
    assert_refused_by(&answers, &["loaded"]);
    assert_eq!(why(&answers, "loaded"), "this build is loaded now, as renamed");
}

#[test]
fn another_build_under_another_name_is_another_module() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    root.write("sys/module/hello_5/initstate", "live\n");
    root.write("sys/module/hello_5/notes/.note.gnu.build-id", note(&[0; 20]));
    root.write("sys/module/hello/initstate", "live\n");
    root.write("sys/module/hello/notes/.note.gnu.build-id", "a note of no form");
    assert_refused_by(&ask(&module, &root.machine()), &[]);
}

#[test]
fn code_that_is_built_in_is_not_loaded() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    root.write("sys/module/hello_4/parameters/whom", "world\n");
    assert_refused_by(&ask(&module, &root.machine()), &[]);
}

// ---- installed-tree ------------------------------------------------------------------------------------------------

#[test]
fn installed_tree_of_a_kernel_that_does_not_run() {
    let root = Root::new();
    let module = root.module("lib/modules/5.10.0-1-amd64/kernel/hello-4.ko");
    let answers = ask(&module, &root.machine());
    assert_refused_by(&answers, &["installed-tree"]);
    assert!(why(&answers, "installed-tree").ends_with(", where this system keeps its kernels' modules"));
}

#[test]
fn installed_by_dpkg_with_or_without_usr() {
    for (place, list) in [
        ("opt/hello-4.ko", "/.\n/opt\n/opt/hello-4.ko\n"),
        ("usr/lib/extra/hello-4.ko", "/lib/extra/hello-4.ko\n"),
        ("lib/extra/hello-4.ko", "/usr/lib/extra/hello-4.ko\n"),
    ] {
        let root = Root::new();
        let module = root.module(place);
        root.write("var/lib/dpkg/info/hello-dkms.list", list);
        let answers = ask(&module, &root.machine());
        assert_refused_by(&answers, &["installed-tree"]);
        assert_eq!(why(&answers, "installed-tree"), "it belongs to the dpkg package hello-dkms");
    }
}

#[test]
fn installed_by_pacman() {
    let root = Root::new();
    let module = root.module("opt/hello-4.ko");
    root.write("var/lib/pacman/local/hello-1.0-1/files", "%FILES%\nopt/\nopt/hello-4.ko\n");
    let answers = ask(&module, &root.machine());
    assert_refused_by(&answers, &["installed-tree"]);
    assert_eq!(why(&answers, "installed-tree"), "it belongs to the pacman package hello-1.0-1");
}

#[test]
fn installed_by_apk() {
    let root = Root::new();
    let module = root.module("opt/hello-4.ko");
    root.write("lib/apk/db/installed", "P:other\nF:srv\nR:hello-4.ko\n\nP:hello\nF:opt\nR:readme\nR:hello-4.ko\n");
    let answers = ask(&module, &root.machine());
    assert_refused_by(&answers, &["installed-tree"]);
    assert_eq!(why(&answers, "installed-tree"), "it belongs to the apk package hello");
}

#[test]
fn a_package_that_owns_a_file_of_a_like_name_owns_no_other() {
    let root = Root::new();
    let module = root.module("opt/hello-4.ko");
    root.write("var/lib/dpkg/info/hello.list", "/opt/hello-4.ko.xz\n/srv/opt/hello-4.ko\n/opt/hello-4\n");
    root.write("var/lib/dpkg/info/hello.md5sums", "/opt/hello-4.ko\n");
    root.write("var/lib/pacman/local/hello/files", "opt/hello-4.ko.xz\n");
    root.write("lib/apk/db/installed", "P:hello\nF:srv\nR:hello-4.ko\n");
    assert_refused_by(&ask(&module, &root.machine()), &[]);
}

// ---- file-kind, where a whole new file is written --------------------------------------------------------------------

#[test]
#[ignore = "needs chattr and root: tests/run runs it"]
fn a_folder_without_write_permission_is_an_obstacle_only_for_a_whole_new_file() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    let chattr = |flag: &str| {
        let ran = std::process::Command::new("chattr").arg(flag).arg(root.path()).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
    };
    let longer = NewVermagic::Rewrite([b"6.1.0-47-amd64 ".as_slice(), &[b'x'; 200]].concat());
    let overrides = NONE.with(Override::AbiTokens);
    for (flag, undo) in [("+a", "-a"), ("+i", "-i")] {
        chattr(flag);
        let whole = ask_for(&module, &root.machine(), &longer, Signature::Refuse, overrides);
        let in_place = ask_for(&module, &root.machine(), &NewVermagic::Blank, Signature::Refuse, overrides);
        chattr(undo);
        assert_refused_by(&whole, &["file-kind"]);
        assert_refused_by(&in_place, &[]);
    }
}

// ---- signed --------------------------------------------------------------------------------------------------------

#[test]
fn signed_unless_something_is_decided_about_the_signature() {
    for name in ["hello-4-signed.ko", "hello-4-x509.ko"] {
        let root = Root::new();
        let module = root.write("hello-4.ko", fs::read(fixture(name)).unwrap());
        let say = |signature| ask_for(&module, &root.machine(), &NewVermagic::Blank, signature, NONE);
        assert_refused_by(&say(Signature::Refuse), &["signed"]);
        for signature in [Signature::Strip, Signature::Keep] {
            assert_refused_by(&say(signature), &[]);
            assert_eq!(who(&say(signature), Ruling::Overridden), ["signed"]);
        }
    }
}

#[test]
fn what_is_not_signed_needs_no_decision() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    let answers = ask_for(&module, &root.machine(), &NewVermagic::Blank, Signature::Strip, NONE);
    assert_eq!(who(&answers, Ruling::Overridden), Vec::<&str>::new());
}

// ---- ima -----------------------------------------------------------------------------------------------------------

#[test]
fn ima_by_a_policy_that_appraises_modules() {
    for (policy, refused) in [
        ("appraise func=MODULE_CHECK appraise_type=imasig\n", true),
        ("dont_appraise fsmagic=0x9fa0\nappraise fowner=0\n", true),
        ("measure func=MODULE_CHECK\n", false),
        ("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig\n", false),
        ("dont_appraise fsmagic=0x9fa0\n", false),
        ("", false),
    ] {
        let root = Root::new();
        let module = root.module("hello-4.ko");
        root.write("sys/kernel/security/ima/policy", policy);
        let expected: &[&str] = if refused { &["ima"] } else { &[] };
        assert_refused_by(&ask(&module, &root.machine()), expected);
    }
}

#[test]
fn an_unreadable_policy_is_reported() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    assert_eq!(why(&ask(&module, &root.machine()), "ima"), "no IMA attribute; the IMA policy can't be read");
}

// ---- abi-tokens ----------------------------------------------------------------------------------------------------

#[test]
fn abi_tokens_by_each_token_except_the_release() {
    for (string, refused) in [
        ("6.1.0-99-amd64 SMP preempt mod_unload modversions ", None),
        ("6.1.0-99-amd64 SMP preempt mod_unload ", None),
        ("6.1.0-47-amd64 preempt mod_unload modversions ", Some("SMP (SMP becomes none)")),
        // A string that is only a release removes all tokens.
        ("6.1.0-47-amd64", Some("SMP (SMP becomes none), preemption (preempt becomes none)")),
        ("6.1.0-47-amd64 SMP mod_unload modversions ", Some("preemption (preempt becomes none)")),
        ("6.1.0 SMP preempt_rt mod_unload modversions ", Some("preemption (preempt becomes preempt_rt)")),
        ("6.1.0 SMP preempt mod_unload 686 ", Some("architecture (none becomes 686)")),
        ("6.1.0 SMP preempt mod_unload RANDSTRUCT_ab", Some("randstruct (none becomes RANDSTRUCT_ab)")),
    ] {
        let root = Root::new();
        let module = root.module("hello-4.ko");
        let new_vermagic = NewVermagic::Rewrite(string.as_bytes().to_vec());
        let answers = ask_for(&module, &root.machine(), &new_vermagic, Signature::Refuse, NONE);
        match refused {
            None => assert_refused_by(&answers, &[]),
            Some(token) => {
                assert_refused_by(&answers, &["abi-tokens"]);
                let expected = format!("the new version magic claims another ABI: {token}");
                assert_eq!(why(&answers, "abi-tokens"), expected, "{string}");
            }
        }
    }
}

// ---- overrides -----------------------------------------------------------------------------------------------------

/// A module that every guard with an override refuses, and a request for it.
fn everything_against_it() -> (Root, PathBuf, NewVermagic) {
    let root = Root::new();
    let signed = fs::read(fixture("hello-4-signed.ko")).unwrap();
    let module = root.write(&format!("lib/modules/{RUNNING}/kernel/hello-4.ko"), signed);
    root.write("proc/modules", "hello_4 16384 0 - Live 0x0000000000000000\n");
    root.write("sys/kernel/security/ima/policy", "appraise func=MODULE_CHECK\n");
    (root, module, NewVermagic::Rewrite(b"6.1.0-47-amd64 mod_unload ".to_vec()))
}

#[test]
fn each_override_lifts_only_its_own_guard() {
    let (root, module, new_vermagic) = everything_against_it();
    let kernel = another_kernel();
    let all = ["live-tree", "loaded", "installed-tree", "signed", "ima", "abi-tokens", "struct-module", "crc"];
    let without = |lifted: &[&str]| all.into_iter().filter(|name| !lifted.contains(name)).collect::<Vec<_>>();
    let none = ask_for_kernel(Some(&kernel), &module, &root.machine(), &new_vermagic, Signature::Refuse, NONE);
    assert_refused_by(&none, &all);

    let installed = NONE.with(Override::InstalledTree);
    let ima_break = NONE.with(Override::Ima);
    let abi_mismatch = NONE.with(Override::AbiTokens);
    let layout_mismatch = NONE.with(Override::StructModule);
    let crc_mismatch = NONE.with(Override::Crc);
    for (lifted, machine, signature, overrides) in [
        (&["installed-tree"][..], root.machine(), Signature::Refuse, installed),
        (&["ima"], root.machine(), Signature::Refuse, ima_break),
        (&["abi-tokens"], root.machine(), Signature::Refuse, abi_mismatch),
        (&["struct-module"], root.machine(), Signature::Refuse, layout_mismatch),
        (&["crc"], root.machine(), Signature::Refuse, crc_mismatch),
        (&["signed"], root.machine(), Signature::Strip, NONE),
        (&["signed"], root.machine(), Signature::Keep, NONE),
        (&["live-tree", "loaded"], root.lab_machine(), Signature::Refuse, NONE),
    ] {
        let answers = ask_for_kernel(Some(&kernel), &module, &machine, &new_vermagic, signature, overrides);
        assert_refused_by(&answers, &without(lifted));
        assert_eq!(who(&answers, Ruling::Overridden), lifted, "all overrides that were used, and no others");
    }
}

// ---- crc and btf: what the kernel would see ------------------------------------------------------------------------

/// The answers of the guards to a change of symbol versions, with this override and with none.
fn of_versions(modversions: Modversions, kernel: Option<&Kernel>) -> [Vec<GuardAnswer>; 2] {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    let request = Request { modversions, ..Request::new(NewVermagic::Keep, Signature::Refuse) };
    [NONE, NONE.with(Override::Crc)].map(|overrides| ask_about(&request, kernel, &module, &root.machine(), overrides))
}

#[test]
fn symbol_versions_are_hidden_only_with_the_override_of_the_guard_crc() {
    let [without, with] = of_versions(Modversions::Blank, None);
    assert_refused_by(&without, &["crc"]);
    assert_eq!(why(&without, "crc"), "the plan hides its symbol versions, so the kernel can't compare them");
    assert_refused_by(&with, &[]);
    assert_eq!(who(&with, Ruling::Overridden), ["crc"]);
}

#[test]
fn that_crcs_are_rewritten_does_not_make_them_equal() {
    let mut kernel = another_kernel();
    kernel.facts.fingerprint = None;
    let rewritten = || Modversions::Rewrite(Arc::new(kernel.facts.crcs()));
    let [without, with] = of_versions(rewritten(), Some(&kernel));
    assert_refused_by(&without, &["crc"]);
    assert!(
        why(&without, "crc").ends_with("the plan overwrites them with the kernel's, which then detects no difference")
    );
    assert_refused_by(&with, &[]);
}

#[test]
fn hidden_type_information_is_in_the_answers() {
    let root = Root::new();
    let module = root.write("btf.ko", fs::read(fixture("btf.ko")).unwrap());
    let request = |drop_btf| Request { drop_btf, ..Request::new(NewVermagic::Blank, Signature::Refuse) };
    let says = |drop_btf| ask_about(&request(drop_btf), None, &module, &root.machine(), NONE);
    assert_eq!(who(&says(true), Ruling::Overridden), ["btf"]);
    assert_eq!(who(&says(false), Ruling::Overridden), [] as [&str; 0]);
}

#[test]
fn all_overrides_together_leave_what_nothing_overrides() {
    let (root, module, new_vermagic) = everything_against_it();
    let kernel = another_kernel();
    fs::hard_link(&module, root.path().join("second-name.ko")).unwrap();
    let all = Overrides::all();
    let answers = ask_for_kernel(Some(&kernel), &module, &root.lab_machine(), &new_vermagic, Signature::Strip, all);
    assert_refused_by(&answers, &["file-kind"]);
}

#[test]
fn an_override_that_nothing_needs_is_not_used() {
    let root = Root::new();
    let module = root.module("hello-4.ko");
    let all = Overrides::all();
    let answers = ask_for(&module, &root.lab_machine(), &NewVermagic::Blank, Signature::Strip, all);
    assert_eq!(who(&answers, Ruling::Pass).len(), guard::Guard::ALL.len());
}

#[test]
fn a_plan_that_nobody_confirmed_is_refused_by_that_guard() {
    let root = Root::new();
    let path = root.module("hello-4.ko");
    let bytes = fs::read(&path).unwrap();
    let (module, plan) = (
        Module::read(&bytes).unwrap(),
        Plan::make(&bytes, &Request::new(NewVermagic::Blank, Signature::Refuse)).unwrap(),
    );
    let write = PlannedWrite {
        path: &path,
        is_new: false,
        module: &module,
        name: "hello_4",
        plan: &plan,
        kernel: None,
        obstacles: &[],
        is_confirmed: false,
    };
    let all = Overrides::all();
    assert_refused_by(&guard::ask(&write, &root.lab_machine(), all), &["confirmed"]);
}
