//! A stage for build trees: a temporary folder, a script as the compiler, and the program.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::KMODLAB;

/// The version line of the compiler that built the guide's kernel.
pub(crate) const GCC_3: &str = "gcc (GCC) 3.3.3 20040412 (Red Hat Linux 3.3.3-7)";

/// The version line of a current compiler.
pub(crate) const GCC_12: &str = "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0";

/// Longer than any tree may take.
const LONGEST: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    folder: TempDir,
}

/// The result of a call of the program.
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The contents of a folder: for each path its kind and bytes, its mode and its times.
pub(crate) type Contents = BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)>;

impl Stage {
    pub(crate) fn new(compiler: &str) -> Stage {
        let stage = Stage { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(stage.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        stage.put("cc", format!("#!/bin/sh\necho '{compiler}'\n"));
        fs::set_permissions(stage.path("cc"), fs::Permissions::from_mode(0o755)).unwrap();
        stage
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn put(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, below: &str) -> String {
        String::from_utf8(fs::read(self.path(below)).unwrap()).unwrap()
    }

    /// Replaces a text that must exist.
    pub(crate) fn replace(&self, below: &str, old: &str, new: &str) {
        let text = self.read(below);
        assert!(text.contains(old), "{below} has no {old}");
        self.put(below, text.replace(old, new));
    }

    /// The program, with these arguments, in which `TREE` and `K` are replaced.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(KMODLAB);
        self.settle(command.args(words));
        command
    }

    /// Sets the environment and the working folder of each run.
    pub(crate) fn settle(&self, command: &mut Command) {
        for name in ["LOCALVERSION", "ARCH", "CROSS_COMPILE", "KBUILD_OUTPUT", "MAKEFLAGS", "GIT_DIR"] {
            command.env_remove(name);
        }
        let variables = [("KMODLAB_STATE_DIR", "state"), ("CC", "cc"), ("XDG_CACHE_HOME", "cache")];
        command.envs(variables.map(|(name, below)| (name, self.path(below)))).env("NO_COLOR", "1");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
    }

    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> Answer {
        Answer::of(&mut self.command(words))
    }

    #[track_caller]
    pub(crate) fn tree(&self, tree: &str, kernel: &str) -> Answer {
        self.run(&["tree", tree, "--for", kernel])
    }

    /// The digest of the changes that `--fix` would make.
    #[track_caller]
    pub(crate) fn digest(&self, tree: &str, kernel: &str) -> String {
        let shown = self.run(&["tree", tree, "--for", kernel, "--fix", "-n"]);
        assert_eq!(shown.status, 0, "{}{}", shown.out, shown.err);
        shown.out.lines().find_map(|line| line.strip_prefix("digest  ")).expect("no digest").to_owned()
    }

    #[track_caller]
    pub(crate) fn fix(&self, tree: &str, kernel: &str) -> Answer {
        let digest = self.digest(tree, kernel);
        self.run(&["tree", tree, "--for", kernel, "--fix", "--confirm", &digest])
    }

    pub(crate) fn contents(&self, below: &str) -> Contents {
        let mut contents = Contents::new();
        look(&self.path(below), &mut contents);
        contents
    }
}

impl Answer {
    /// Runs it, within the time that any tree may take. It must never panic.
    #[track_caller]
    pub(crate) fn of(command: &mut Command) -> Answer {
        let begin = Instant::now();
        let output = command.output().unwrap();
        let took = begin.elapsed();
        assert!(took < LONGEST, "it took {took:?}");
        let text = |bytes| String::from_utf8(bytes).expect("the answer is no UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        let status = output.status.code().unwrap_or_else(|| panic!("{}: {err}", output.status));
        assert!(status != 101 && !err.contains("panicked"), "{err}");
        let bad = out.chars().chain(err.chars()).find(|c| c.is_control() && *c != '\n');
        assert_eq!(bad, None, "a terminal would obey {out:?} {err:?}");
        Answer { status, out, err }
    }

    /// One line on stderr, nothing on stdout, exit status 2.
    #[track_caller]
    pub(crate) fn assert_refused(&self, says: &str) {
        assert_eq!((self.status, self.out.as_str()), (2, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.contains(says), "{says:?} is not in: {}", self.err);
    }

    /// The answer is advice, and contains all of these texts.
    #[track_caller]
    pub(crate) fn assert_says(&self, status: i32, says: &[&str]) {
        assert_eq!(self.status, status, "{}{}", self.out, self.err);
        for text in says {
            assert!(self.out.contains(text), "{text:?} is not in:\n{}", self.out);
        }
    }
}

fn look(path: &Path, contents: &mut Contents) {
    let meta = fs::symlink_metadata(path).unwrap();
    let bytes = match meta.file_type() {
        kind if kind.is_symlink() => fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec(),
        // A large file is sparse.
        kind if kind.is_file() && meta.size() < 1 << 20 => fs::read(path).unwrap_or_default(),
        _ => Vec::new(),
    };
    contents.insert(path.to_owned(), (bytes, meta.mode(), meta.mtime(), meta.mtime_nsec()));
    if meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten() {
            look(&entry.unwrap().path(), contents);
        }
    }
}

/// A minimal source of 6.1: only the files that determine the version magic.
pub(crate) const SOURCE: [(&str, &str); 9] = [
    (
        "Makefile",
        "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION = -9\nNAME = A small one\n\n\
         filechk_kernel.release = $(srctree)/scripts/setlocalversion $(srctree)\n",
    ),
    ("Kconfig", ""),
    ("init/main.c", ""),
    ("arch/x86/Makefile", ""),
    ("arch/x86/include/asm/vermagic.h", "#define MODULE_ARCH_VERMAGIC\n"),
    ("arch/arm64/include/asm/vermagic.h", "#define MODULE_ARCH_VERMAGIC \"aarch64\"\n"),
    ("include/linux/module.h", ""),
    (
        "include/linux/vermagic.h",
        "#include <generated/utsrelease.h>\n#include <asm/vermagic.h>\n\
         #ifdef CONFIG_SMP\n#define WORD_SMP \"SMP \"\n#else\n#define WORD_SMP \"\"\n#endif\n\
         #ifdef CONFIG_PREEMPT_BUILD\n#define WORD_PREEMPT \"preempt \"\n#elif defined(CONFIG_PREEMPT_RT)\n\
         #define WORD_PREEMPT \"preempt_rt \"\n#else\n#define WORD_PREEMPT \"\"\n#endif\n\
         #ifdef CONFIG_MODULE_UNLOAD\n#define WORD_UNLOAD \"mod_unload \"\n#else\n#define WORD_UNLOAD \"\"\n#endif\n\
         #define VERMAGIC_STRING UTS_RELEASE \" \" WORD_SMP WORD_PREEMPT WORD_UNLOAD MODULE_ARCH_VERMAGIC\n",
    ),
    (
        "scripts/setlocalversion",
        "#!/bin/sh\ncollect_files() { :; }\ncat .scmversion\ntest -z \"$(git rev-parse --show-cdup)\"\n\
         git describe --exact-match\necho \"+\"\necho \"$atag\" | awk -F- '{printf(\"-%05d\", $(NF-1))}'\n\
         printf '%s%s' -g \"$(echo $head | cut -c1-12)\"\ngit status -uno || git diff-index HEAD\n\
         printf '%s' -dirty\nres=\"$res$(scm_version)\"\nscm=$(scm_version --short)\nres=\"$res${scm:++}\"\n",
    ),
];

/// Its configuration, and the files that a build generates from it.
pub(crate) const CONFIG: &str = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.0-9 Kernel Configuration\n#\n\
    CONFIG_X86=y\nCONFIG_X86_64=y\nCONFIG_LOCALVERSION=\"\"\n# CONFIG_LOCALVERSION_AUTO is not set\nCONFIG_SMP=y\n\
    CONFIG_PREEMPT_NONE=y\n# CONFIG_PREEMPT is not set\nCONFIG_MODULES=y\nCONFIG_MODULE_UNLOAD=y\n";

impl Stage {
    /// A source tree, not configured.
    pub(crate) fn source(&self, name: &str) {
        for (below, text) in SOURCE {
            self.put(&format!("{name}/{below}"), text);
        }
    }

    /// A source tree, configured and built in place, with a release as `uname -r` would print it.
    pub(crate) fn built(&self, name: &str, release: &str) {
        self.source(name);
        self.outcome(name, release);
    }

    /// The files that a build leaves in its output folder.
    pub(crate) fn outcome(&self, name: &str, release: &str) {
        self.put(&format!("{name}/.config"), CONFIG);
        self.put(&format!("{name}/include/config/auto.conf"), CONFIG);
        self.put(&format!("{name}/include/config/kernel.release"), format!("{release}\n"));
        let header = format!("#define UTS_RELEASE \"{release}\"\n");
        self.put(&format!("{name}/include/generated/utsrelease.h"), header);
        self.put(&format!("{name}/include/generated/autoconf.h"), "#define CONFIG_X86 1\n");
        for program in ["scripts/basic/fixdep", "scripts/mod/modpost"] {
            self.put(&format!("{name}/{program}"), "");
        }
        self.put(&format!("{name}/Module.symvers"), "");
    }
}
