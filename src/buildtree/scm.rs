//! What a tree's own `scripts/setlocalversion` would append for its version control.
//!
//! The script is read, never run: what it asks git is asked here, in the same words. Which words those are is told by its
//! text, since vendors and stable kernels take over parts of later ones:
//!
//! | kernel | the script | past a tag | uncommitted changes |
//! |---|---|---|---|
//! | up to 2.6.13 | none | | |
//! | 2.6.14, 2.6.15 | Perl, reads `.git/HEAD` itself | `-g` and 8 digits | |
//! | 2.6.16 to 2.6.24 | `git name-rev` | `-g` and 8 digits | `-git_dirty`, later `-dirty` |
//! | 2.6.25 to 2.6.30 | `git name-rev`, `git describe` | `-00003-gHASH` | `-dirty`, not for `scripts/package` |
//! | 2.6.31 to 2.6.34 | `git describe --exact-match` | the same | the same |
//! | 2.6.35 on | the same; `+` without CONFIG_LOCALVERSION_AUTO | the same | the same |
//! | 5.11 to 5.15 | the same | 12 digits, or 11 by gawk | the same |
//! | 5.16 to 6.2 | git alone (no hg, no svn) | 12 digits | `-dirty` |
//! | 6.3 on | `git describe --match` of the tag of KERNELVERSION | the same | the same |
//! | 6.13 on, 6.12.y | the same by `git rev-list --count` | the same | the same |
//!
//! Up to 2.6.35 any repository counts that the source is below; since then only one whose top is the source. A script
//! that prints what none of these prints is not guessed at.
//!
//! git runs without GIT_ of the environment, takes no lock, fetches nothing, starts no hook, no file system monitor and no
//! filter that the repository names, looks into no submodule, and has a time limit.
//! Who owns a repository is git's to judge, as it is when make calls it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::buildtree::place::Place;
use crate::buildtree::program::{Answer, Silent, ask};
use crate::buildtree::text::{names_in, read_text};
use crate::error::Result;

/// What is appended for version control, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scm {
    /// What is appended: `+`, `-00003-g0123456789ab-dirty`, or nothing. `None` where it can't be told.
    pub suffix: Option<String>,
    /// What decides it: the script, `.scmversion`, the repository.
    pub place: Place,
    /// Why, in words; for `None` what is missing.
    pub why: String,
}

/// What the script is called with.
pub struct Question<'q> {
    /// The folder that make runs in.
    pub object: &'q Path,
    /// The source, which is the folder of the repository.
    pub source: &'q Path,
    /// The text of the top Makefile.
    pub makefile: &'q str,
    /// `KERNELVERSION`.
    pub kernelversion: &'q str,
    /// What `localversion*` files append, as one.
    pub file_localversion: &'q str,
    /// Is `CONFIG_LOCALVERSION_AUTO` set?
    pub auto: bool,
    /// Is `LOCALVERSION` set in the environment, be it to nothing?
    pub localversion_set: bool,
}

/// The longest that git may take: `git status` reads the times of 90,000 files, from a cold disk.
const LIMIT: Duration = Duration::from_secs(60);

impl Scm {
    /// What the script would append.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] for a script or `.scmversion` that can't be read.
    pub fn read(question: &Question) -> Result<Self> {
        let file = question.source.join("scripts/setlocalversion");
        if !question.makefile.contains("setlocalversion") {
            return Ok(known(
                "",
                Place::whole(question.source.join("Makefile")),
                "this Makefile asks no version control",
            ));
        }
        let Some(text) = read_text(&file)? else {
            return Ok(unknown(Place::whole(file), "the script that would tell is not there"));
        };
        let script = match Script::parse(&text) {
            Ok(script) => script,
            Err(Strange { line, text }) => {
                let why = format!("the script prints what no kernel's own script prints ({text})");
                return Ok(unknown(Place::new(file, line), why));
            }
        };
        script.answer(question, &file)
    }
}

fn known(suffix: impl Into<String>, place: Place, why: impl Into<String>) -> Scm {
    Scm { suffix: Some(suffix.into()), place, why: why.into() }
}

fn unknown(place: Place, why: impl Into<String>) -> Scm {
    Scm { suffix: None, place, why: why.into() }
}

/// What a script does, by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Script {
    form: Form,
    /// Does it take `.scmversion` for an answer?
    scmversion: bool,
    repository: Repository,
    tagged: Tagged,
    /// Does it print the number of commits since the tag?
    counts: Option<Count>,
    hash: Hash,
    dirty: Option<Dirty>,
    /// Is the suffix appended with CONFIG_LOCALVERSION_AUTO? Some vendors took that out.
    full: bool,
    short: Short,
    git_svn: bool,
    hg: bool,
    svn: bool,
}

/// What the script prints as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The Perl script of 2.6.14.
    Perl,
    /// The suffix, and only where CONFIG_LOCALVERSION_AUTO is set.
    Suffix,
    /// All that stands behind KERNELVERSION, or the whole release.
    Whole,
}

/// Which repository counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repository {
    /// That of any folder above.
    Any,
    /// Where `.git` is a folder of the source.
    GitFolder,
    /// Whose top is the source.
    Top,
}

/// What a tagged commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tagged {
    /// `git name-rev --tags` is not undefined; since 2.6.25 and names no commit before a tag.
    NameRev { exact: bool },
    /// `git describe --exact-match`.
    ExactMatch,
    /// The tag is that of KERNELVERSION, by `git describe --match`; `false`: by `git rev-list`, which looks at one tag.
    KernelVersion { describe: bool },
}

/// How the number of commits is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    /// `-00003-gHASH`, both of `git describe`.
    WithHash,
    /// The same of `git describe --abbrev=12`, cut by awk's `substr(…, 0, 13)`: 11 digits or 12, by the awk.
    WithCutHash,
    /// `-00003`, and then the hash as without a tag.
    Alone,
}

/// How a hash is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    /// So many digits.
    Cut(usize),
    /// As `git rev-parse --short` has it.
    Short,
}

/// What says that there are changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dirty {
    word: &'static str,
    /// Are changes below `scripts/package` passed over?
    without_package: bool,
    /// What is asked, and its answer's form.
    asked: Asked,
}

/// How a script asks for changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// `git status -uno --porcelain`; scripts that refresh the index before they ask get the same answer.
    Status,
    /// `git diff-files`, without a refresh: what was touched counts, what is in the index does not.
    DiffFiles,
    /// `git diff-index HEAD`, without a refresh: what was touched counts.
    DiffIndex,
}

/// What becomes of the suffix without CONFIG_LOCALVERSION_AUTO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    /// Nothing.
    Nothing,
    /// `+` for whatever it is (`${scm:++}`).
    Plus,
    /// As it is: `+`, and on a tag `-dirty`.
    AsIs,
}

/// A line that prints what is not known.
#[derive(Debug)]
struct Strange {
    line: usize,
    text: String,
}

impl Script {
    fn parse(text: &str) -> std::result::Result<Script, Strange> {
        if text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("perl")) {
            return Ok(Script::perl());
        }
        let code = code(text);
        if let Some((line, text)) = code.iter().find(|(_, line)| is_strange(line)) {
            return Err(Strange { line: *line, text: (*text).to_owned() });
        }
        let has = |words: &str| code.iter().any(|(_, line)| line.contains(words));
        let whole = has("collect_files");
        let tagged = match () {
            () if has("try_tag") => Tagged::KernelVersion { describe: false },
            () if has("--match=$tag") => Tagged::KernelVersion { describe: true },
            () if has("describe --exact-match") => Tagged::ExactMatch,
            () if has("name-rev") => Tagged::NameRev { exact: has("~[0-9]*") },
            () => return Err(Strange { line: 0, text: "it asks git nothing that is known".to_owned() }),
        };
        let counts = match () {
            () if has("substr($(NF),0,13)") => Some(Count::WithCutHash),
            () if has("-%05d-%s") => Some(Count::WithHash),
            () if has("%05d") => Some(Count::Alone),
            () => None,
        };
        let hash = match () {
            () if has("cut -c1-8") => Hash::Cut(8),
            () if has("cut -c1-12") || has("%.12s") => Hash::Cut(12),
            () => Hash::Short,
        };
        let word = ["-git_dirty", "-dirty"].into_iter().find(|word| has(word) && has("diff-"));
        let dirty = word.map(|word| Dirty {
            word,
            without_package: has("scripts/package"),
            asked: match () {
                () if has("status -uno") || has("update-index --refresh") => Asked::Status,
                () if has("diff-files") => Asked::DiffFiles,
                () => Asked::DiffIndex,
            },
        });
        let short = match () {
            () if !whole || !has("scm_version --short") => Short::Nothing,
            () if has("${scm:++}") => Short::Plus,
            () if has("$res$scm\"") || has("${scm_version}") => Short::AsIs,
            () => Short::Nothing,
        };
        Ok(Script {
            form: if whole { Form::Whole } else { Form::Suffix },
            scmversion: has("cat .scmversion"),
            repository: match () {
                () if has("--show-cdup") => Repository::Top,
                () if has("test -d .git ") => Repository::GitFolder,
                () => Repository::Any,
            },
            tagged,
            counts,
            hash,
            dirty,
            full: !whole || has("\"$res$(scm_version)\"") || has("scm_version=\"$(scm_version)\""),
            short,
            git_svn: has("svn-remote.svn.url"),
            hg: has("hg id"),
            // 2.6.31 to 2.6.34 leave it out by a here-document.
            svn: has("svn info") && !has("<<disable_svn"),
        })
    }

    fn perl() -> Script {
        Script {
            form: Form::Perl,
            scmversion: false,
            repository: Repository::GitFolder,
            tagged: Tagged::NameRev { exact: false },
            counts: None,
            hash: Hash::Cut(8),
            dirty: None,
            full: true,
            short: Short::Nothing,
            git_svn: false,
            hg: false,
            svn: false,
        }
    }

    fn answer(&self, question: &Question, file: &Path) -> Result<Scm> {
        let place = || Place::whole(file);
        let short = match (question.auto, self.form, question.localversion_set) {
            (true, ..) if !self.full => {
                return Ok(known("", place(), "the script appends nothing for version control"));
            }
            (true, ..) => false,
            (false, Form::Whole, false) if self.short != Short::Nothing => true,
            (false, Form::Whole, true) => {
                return Ok(known("", place(), "LOCALVERSION is set, and CONFIG_LOCALVERSION_AUTO is not"));
            }
            (false, ..) => return Ok(known("", place(), "CONFIG_LOCALVERSION_AUTO is not set")),
        };
        let told = if self.form == Form::Whole { question.source } else { question.object }.join(".scmversion");
        let is_told = self.scmversion || (self.form == Form::Suffix && question.makefile.contains(".scmversion"));
        if is_told && let Some(text) = read_text(&told)? {
            let text = text.trim_end_matches('\n').replace('\n', " ");
            return Ok(known(self.shortened(short, text), Place::whole(told), "the file .scmversion says so"));
        }
        if self.form == Form::Perl {
            return perl(question.source);
        }
        let scm = match self.git(question, short) {
            Ok(Some((suffix, why))) => {
                known(self.shortened(short, suffix), Place::whole(question.source.join(".git")), why)
            }
            Ok(None) => self.others(question.source, file),
            Err(why) => unknown(Place::whole(question.source.join(".git")), why),
        };
        Ok(scm)
    }

    fn shortened(&self, short: bool, suffix: String) -> String {
        match (short, self.short) {
            (true, Short::Plus) if !suffix.is_empty() => "+".to_owned(),
            _ => suffix,
        }
    }

    /// What is asked where there is no git repository.
    fn others(&self, source: &Path, file: &Path) -> Scm {
        for (asked, folder, name) in [(self.hg, ".hg", "hg"), (self.svn, ".svn", "svn")] {
            if asked && source.join(folder).exists() {
                return unknown(Place::whole(source.join(folder)), format!("the script would ask {name}"));
            }
        }
        known("", Place::whole(file), "the source is no repository")
    }

    /// What git says; `None` where there is no repository that counts.
    fn git(&self, question: &Question, short: bool) -> std::result::Result<Option<(String, String)>, String> {
        let source = question.source;
        let there = match self.repository {
            Repository::Any => {
                let whole = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
                whole.ancestors().any(|folder| folder.join(".git").exists())
            }
            Repository::GitFolder => source.join(".git").is_dir(),
            Repository::Top => source.join(".git").exists(),
        };
        if !there {
            return Ok(None);
        }
        let head = git(source, &["rev-parse", "--verify", "HEAD"])?;
        if !head.ok {
            if head.stderr.contains("dubious ownership") || head.stderr.contains("unsafe repository") {
                let why = "git refuses the repository, which another user owns: make run by you appends nothing";
                return Ok(Some((String::new(), why.to_owned())));
            }
            return Ok(None);
        }
        if self.repository == Repository::Top && !git(source, &["rev-parse", "--show-cdup"])?.stdout.is_empty() {
            return Ok(None);
        }
        let mut suffix = String::new();
        let mut why = Vec::new();
        if let Some((past, words)) = self.past(question)? {
            if short {
                return Ok(Some(("+".to_owned(), words)));
            }
            suffix.push_str(&past.unwrap_or_default());
            if self.appends_hash(&suffix) {
                suffix.push_str(&format!("-g{}", self.hash(source, &head.stdout)?));
            }
            why.push(words);
        } else {
            why.push("the commit is tagged".to_owned());
        }
        if self.git_svn && git(source, &["config", "--get", "svn-remote.svn.url"])?.ok {
            return Err("the script would ask git svn".to_owned());
        }
        if let Some(dirty) = self.dirty {
            match is_dirty(source, dirty)? {
                Some(first) => {
                    suffix.push_str(dirty.word);
                    why.push(format!("uncommitted changes: {first}"));
                }
                None => why.push("no uncommitted changes".to_owned()),
            }
        }
        Ok(Some((suffix, why.join(", "))))
    }

    /// Is the hash still to be printed?
    fn appends_hash(&self, past: &str) -> bool {
        past.is_empty() || self.counts == Some(Count::Alone)
    }

    /// `None` on a tagged commit; else what `git describe` gives, and that in words.
    fn past(&self, question: &Question) -> std::result::Result<Option<(Option<String>, String)>, String> {
        let source = question.source;
        let untagged = || Some((None, "no tag before the commit".to_owned()));
        match self.tagged {
            Tagged::NameRev { exact } => {
                let name = git(source, &["name-rev", "--tags", "HEAD"])?.stdout;
                let name = name.split_whitespace().nth(1).unwrap_or("undefined");
                let before_a_tag = name.rsplit_once('~').is_some_and(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
                if name != "undefined" && !(exact && before_a_tag) {
                    return Ok(None);
                }
                if self.counts.is_none() {
                    return Ok(untagged());
                }
            }
            Tagged::ExactMatch => {
                if !git(source, &["describe", "--exact-match"])?.stdout.is_empty() {
                    return Ok(None);
                }
            }
            Tagged::KernelVersion { describe } => return kernel_version(question, describe),
        }
        let abbrev: &[&str] = match self.counts {
            Some(Count::WithCutHash) => &["describe", "--abbrev=12"],
            _ => &["describe"],
        };
        let described = git(source, abbrev)?;
        if !described.ok {
            return Ok(untagged());
        }
        let words = format!("git describe says {}", described.stdout);
        let mut parts = described.stdout.rsplit('-');
        let (hash, count) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // What awk takes for a number: its digits, else 0.
        let count: u64 = count.parse().unwrap_or(0);
        let past = match self.counts {
            Some(Count::WithHash) => format!("-{count:05}-{hash}"),
            Some(Count::WithCutHash) => format!("-{count:05}-{}", hash.get(..cut_by_awk()?).unwrap_or(hash)),
            _ => format!("-{count:05}"),
        };
        Ok(Some((Some(past), words)))
    }

    fn hash(&self, source: &Path, head: &str) -> std::result::Result<String, String> {
        match self.hash {
            Hash::Cut(digits) => Ok(head.get(..digits).unwrap_or(head).to_owned()),
            Hash::Short => Ok(git(source, &["rev-parse", "--verify", "--short", "HEAD"])?.stdout),
        }
    }
}

/// The tags of a kernel since 6.3: that of a localversion file (linux-next), of the version with it (linux-rt), of the
/// version. The first that is annotated and before the commit counts.
fn kernel_version(
    question: &Question,
    describe: bool,
) -> std::result::Result<Option<(Option<String>, String)>, String> {
    let version_tag = version_tag(question.kernelversion);
    let file = question.file_localversion;
    let mut tags = Vec::new();
    if !file.is_empty() {
        let bare = file.strip_prefix('-').unwrap_or(file);
        if !bare.is_empty() {
            tags.push(bare.to_owned());
        }
        tags.push(format!("{version_tag}{file}"));
    }
    tags.push(version_tag.clone());
    for tag in &tags {
        let count = if describe { described(question.source, tag)? } else { counted(question.source, tag)? };
        match count {
            Some(0) => return Ok(None),
            Some(count) => {
                return Ok(Some((Some(format!("-{count:05}")), format!("{count} commits since the tag {tag}"))));
            }
            None => {}
        }
    }
    Ok(Some((None, format!("no annotated tag {version_tag} before the commit"))))
}

/// The commits since a tag, by `git describe --match`.
fn described(source: &Path, tag: &str) -> std::result::Result<Option<u64>, String> {
    let described = git(source, &["describe", &format!("--match={tag}")])?.stdout;
    if described == tag {
        return Ok(Some(0));
    }
    Ok(described.rsplit('-').nth(1).and_then(|count| count.parse().ok()))
}

/// The commits since a tag, by `git rev-list --count`.
fn counted(source: &Path, tag: &str) -> std::result::Result<Option<u64>, String> {
    // What begins with a hyphen would be an option; the script's own git refuses it likewise.
    if tag.starts_with('-') || git(source, &["cat-file", "-t", tag])?.stdout != "tag" {
        return Ok(None);
    }
    let counts = git(source, &["rev-list", "--count", "--left-right", &format!("{tag}...HEAD")])?.stdout;
    let mut counts = counts.split_whitespace();
    match (counts.next(), counts.next()) {
        (Some("0"), Some(count)) => Ok(count.parse().ok()),
        _ => Ok(None),
    }
}

/// `6.2.0-rc5` is tagged `v6.2-rc5`, and `6.1.7` `v6.1.7`.
fn version_tag(kernelversion: &str) -> String {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = kernelversion.splitn(3, '.');
    if let (Some(version), Some(patchlevel), Some(rest)) = (parts.next(), parts.next(), parts.next())
        && digits(version)
        && digits(patchlevel)
        && let Some(extra) = rest.strip_prefix('0')
    {
        return format!("v{version}.{patchlevel}{extra}");
    }
    format!("v{kernelversion}")
}

/// The first file with uncommitted changes.
fn is_dirty(source: &Path, dirty: Dirty) -> std::result::Result<Option<String>, String> {
    let (arguments, prefix): (&[&str], usize) = match dirty.asked {
        Asked::Status => (&["status", "-uno", "--porcelain", "--ignore-submodules=dirty"], 3),
        Asked::DiffFiles => (&["diff-files", "--name-only", "--ignore-submodules=dirty"], 0),
        Asked::DiffIndex => (&["diff-index", "--name-only", "--ignore-submodules=dirty", "HEAD"], 0),
    };
    must_run_nothing(source)?;
    let answer = git(source, arguments)?;
    if !answer.ok {
        return Err(format!("git {} fails: {}", arguments.join(" "), answer.stderr.lines().next().unwrap_or_default()));
    }
    let mut files = answer.stdout.lines().filter_map(|line| line.get(prefix..));
    let counts = |file: &&str| !(dirty.without_package && file.starts_with("scripts/package"));
    Ok(files.find(counts).map(str::to_owned))
}

/// A repository's own configuration can name programs that git runs over files to compare them. Its user's are the
/// user's own choice; those of a tree that came from elsewhere are not run.
fn must_run_nothing(source: &Path) -> std::result::Result<(), String> {
    let answer =
        git(source, &["config", "--show-scope", "--name-only", "--get-regexp", "^filter\\..*\\.(clean|process)$"])?;
    if !answer.ok && !answer.stderr.is_empty() {
        return Err(format!("git config fails: {}", answer.stderr.lines().next().unwrap_or_default()));
    }
    let own = answer.stdout.lines().find(|line| !(line.starts_with("global") || line.starts_with("system")));
    match own.and_then(|line| line.split_whitespace().nth(1)) {
        Some(filter) => Err(format!("to tell changes git would run a program that the repository names ({filter})")),
        None => Ok(()),
    }
}

/// How long the `g` and its digits are that awk makes of `substr(…, 0, 13)`: of a place before the first one gawk counts
/// as one that is empty (so 12), and old mawk as none (13). make calls the awk that is here.
fn cut_by_awk() -> std::result::Result<usize, String> {
    let mut command = Command::new("awk");
    command.arg("BEGIN { print length(substr(\"g0123456789abcdef\", 0, 13)) }");
    let answer = ask(&mut command, LIMIT).map_err(|_| "the script asks awk, which is not to be had here".to_owned())?;
    answer.stdout.parse().map_err(|_| "the script asks awk, which gives no number here".to_owned())
}

/// Asks git about the repository of a folder.
fn git(source: &Path, arguments: &[&str]) -> std::result::Result<Answer, String> {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .args(["--no-optional-locks", "--no-pager"])
        .args(["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never"])
        .arg("-C")
        .arg(source)
        .args(arguments);
    ask(&mut command, LIMIT).map_err(|silent| match silent {
        Silent::Missing => "git is not installed here, and the source is a repository".to_owned(),
        Silent::Failed(why) => format!("git could not be asked: {why}"),
    })
}

/// What the script of 2.6.14 makes of `.git` by itself: it knows no packed tags, and a HEAD that is a commit.
fn perl(source: &Path) -> Result<Scm> {
    let file = source.join(".git/HEAD");
    let place = Place::new(&file, 1);
    let Some(text) = read_text(&file)? else { return Ok(known("", place, "the source is no repository")) };
    let head = text.lines().next().unwrap_or_default();
    if head.len() < 8 || !head.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(unknown(place, "this script reads a HEAD that is a commit, and this one is none"));
    }
    let tags = source.join(".git/refs/tags");
    for name in names_in(&tags) {
        if read_text(&tags.join(name))?.is_some_and(|text| text.trim_end() == head) {
            return Ok(known("", place, "the commit is tagged"));
        }
    }
    Ok(known(format!("-g{}", head.get(..8).unwrap_or(head)), place, "the commit has no tag of its own"))
}

/// The lines of a script that do something, with their numbers.
fn code(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Does a line add to the answer what no kernel's own script adds?
fn is_strange(line: &str) -> bool {
    let line = line.rsplit(") ").next().filter(|rest| rest.starts_with("printf")).unwrap_or(line);
    let adds = ["echo ", "printf ", "cat ", "res="].iter().any(|word| line.starts_with(word));
    adds && !line.contains(">&2") && !KNOWN.iter().any(|known| line.starts_with(known))
}

/// How the lines begin that add to the answer.
const KNOWN: [&str; 30] = [
    "cat .scmversion",
    "echo \"$atag\" | awk -F- '{printf(\"-%05d",
    "echo \"$tag\" | awk -F- '{printf(\"-%05d",
    "echo $tag | awk -F- '{printf(\"-%05d",
    "echo \"${desc}\" | awk -F- '{printf(\"-%05d",
    "echo \"+\"",
    "echo \"$res\"",
    "echo \"${KERNELVERSION}$(scm_version --no-dirty)\"",
    "echo \"${KERNELVERSION}${file_localversion}${config_localversion}${LOCALVERSION}${scm_version}\"",
    "echo \"Usage",
    "echo \"Error: kernelrelease not valid",
    "printf '%s%s' -g `echo \"$head\" | cut -c1-8`",
    "printf '%s%s' -g \"`echo \"$head\" | cut -c1-8`\"",
    "printf '%s%s' -g $head",
    "printf '%s%s' -g \"$(echo $head | cut -c1-12)\"",
    "printf '%s%.12s' -g \"$head\"",
    "printf \"%s%05d\" \"-\" \"${count}\"",
    "printf '%s%s' -hg \"$id\"",
    "printf -- '-svn%s' ",
    "printf '%s' -dirty",
    "printf '%s' -git_dirty",
    "printf '%s' -hg",
    "res=\"$res$(cat \"$file\")\"",
    "res=$(scm_version)",
    "res=\"$(collect_files localversion*)\"",
    "res=\"$res$(collect_files \"$srctree\"/localversion*)\"",
    "res=\"${res}${CONFIG_LOCALVERSION}${LOCALVERSION}\"",
    "res=\"${res}${config_localversion}${LOCALVERSION}\"",
    "res=\"$res$",
    "res=\"${res}${scm",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_its_tag() {
        for (version, tag) in [
            ("6.2.0-rc5", "v6.2-rc5"),
            ("6.2.0", "v6.2"),
            ("6.1.7", "v6.1.7"),
            ("6.1.70", "v6.1.70"),
            ("6.10.0-next", "v6.10-next"),
            ("6.1", "v6.1"),
        ] {
            assert_eq!(version_tag(version), tag, "{version}");
        }
    }

    #[test]
    fn a_script_that_prints_another_thing_is_not_guessed_at() {
        let vendor = "#!/bin/sh\nif git describe --exact-match; then :; fi\nres=\"$res-android12-9\"\n";
        assert_eq!(Script::parse(vendor).map_err(|strange| strange.line).unwrap_err(), 3);
        assert!(Script::parse("#!/bin/sh\n# nothing at all\n").is_err());
        // A comment prints nothing.
        let quiet = "#!/bin/sh\n#\techo \"-mine\"\ngit describe --exact-match\nprintf '%s%s' -g $head\n";
        assert_eq!(Script::parse(quiet).unwrap().dirty, None);
    }

    #[test]
    fn the_perl_script_reads_head_itself() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(perl(root.path()).unwrap().suffix.as_deref(), Some(""));
        fs::create_dir_all(root.path().join(".git/refs/tags")).unwrap();
        fs::write(root.path().join(".git/HEAD"), "ref: refs/heads/master\n").unwrap();
        assert_eq!(perl(root.path()).unwrap().suffix, None);
        let commit = "0123456789abcdef0123456789abcdef01234567\n";
        fs::write(root.path().join(".git/HEAD"), commit).unwrap();
        assert_eq!(perl(root.path()).unwrap().suffix.as_deref(), Some("-g01234567"));
        fs::write(root.path().join(".git/refs/tags/v2.6.14"), commit).unwrap();
        assert_eq!(perl(root.path()).unwrap().suffix.as_deref(), Some(""));
    }
}
