//! The suffix that a tree's own `scripts/setlocalversion` would append for version control.
//!
//! The script is read, never run: this module calls git as the script does. The text of the script shows how, because vendors
//! and stable kernels backport parts of later ones:
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
//! | 5.16 to 6.2 | only git (no hg, no svn) | 12 digits | `-dirty` |
//! | 6.3 on | `git describe --match` of the tag of KERNELVERSION | the same | the same |
//! | 6.13 on, 6.12.y | the same by `git rev-list --count` | the same | the same |
//!
//! Up to 2.6.35 any repository that contains the source counts; since then only one whose top is the source. If a script
//! prints something that none of these prints, the suffix is unknown.
//!
//! git runs with a time limit and without the GIT_ variables of the environment. It takes no lock, fetches nothing, runs no
//! hook, file system monitor or filter of the repository, and does not enter submodules. As when make calls it, git decides
//! whether it trusts the owner of the repository.

mod script;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::buildtree::file_line::FileLine;
use crate::buildtree::reading::external::{ProgramFailure, ProgramOutput, ask};
use crate::buildtree::reading::files::{names_in, read_text};
use crate::error::Result;
use script::{
    CommitCount, DirtyCheck, DirtyCommand, HashForm, RepositoryRule, ScriptForm, SetlocalversionScript, ShortForm,
    TagRule, UnknownLine,
};

/// The suffix for version control, and its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScmSuffix {
    /// The suffix: `+`, `-00003-g0123456789ab-dirty`, or the empty string. `None` if it is not known.
    pub suffix: Option<String>,
    /// The file that decides it: the script, `.scmversion`, the repository.
    pub place: FileLine,
    /// Why, in words; for `None`, why it is not known.
    pub why: String,
}

/// The inputs of the script.
pub struct ScmInputs<'q> {
    /// The folder that make runs in.
    pub object: &'q Path,
    /// The source, which is the folder of the repository.
    pub source: &'q Path,
    /// The text of the top Makefile.
    pub makefile: &'q str,
    /// `KERNELVERSION`.
    pub kernelversion: &'q str,
    /// The text that all `localversion*` files append.
    pub file_localversion: &'q str,
    /// Is `CONFIG_LOCALVERSION_AUTO` set?
    pub auto: bool,
    /// Is `LOCALVERSION` set in the environment, even to the empty string?
    pub localversion_set: bool,
}

/// The time limit for git: `git status` reads the times of 90,000 files, from a cold disk.
const LIMIT: Duration = Duration::from_secs(60);

impl ScmSuffix {
    /// The suffix that the script would append.
    ///
    /// # Errors
    ///
    /// [`crate::error::ErrorKind::Io`] for a script or `.scmversion` that cannot be read.
    pub fn read(question: &ScmInputs) -> Result<Self> {
        let file = question.source.join("scripts/setlocalversion");
        if !question.makefile.contains("setlocalversion") {
            return Ok(known(
                "",
                FileLine::whole(question.source.join("Makefile")),
                "this Makefile does not use version control",
            ));
        }
        let Some(text) = read_text(&file)? else {
            return Ok(unknown(FileLine::whole(file), "the script does not exist"));
        };
        let script = match SetlocalversionScript::parse(&text) {
            Ok(script) => script,
            Err(UnknownLine { line, text }) => {
                let why = format!("the script prints something that no kernel's own script prints ({text})");
                return Ok(unknown(FileLine::new(file, line), why));
            }
        };
        script.answer(question, &file)
    }
}

fn known(suffix: impl Into<String>, place: FileLine, why: impl Into<String>) -> ScmSuffix {
    ScmSuffix { suffix: Some(suffix.into()), place, why: why.into() }
}

fn unknown(place: FileLine, why: impl Into<String>) -> ScmSuffix {
    ScmSuffix { suffix: None, place, why: why.into() }
}

impl SetlocalversionScript {
    fn answer(&self, question: &ScmInputs, file: &Path) -> Result<ScmSuffix> {
        let place = || FileLine::whole(file);
        let short = match (question.auto, self.form, question.localversion_set) {
            (true, ..) if !self.full => {
                return Ok(known("", place(), "the script appends nothing for version control"));
            }
            (true, ..) => false,
            (false, ScriptForm::Whole, false) if self.short != ShortForm::Nothing => true,
            (false, ScriptForm::Whole, true) => {
                return Ok(known("", place(), "LOCALVERSION is set, and CONFIG_LOCALVERSION_AUTO is not"));
            }
            (false, ..) => return Ok(known("", place(), "CONFIG_LOCALVERSION_AUTO is not set")),
        };
        let given = if self.form == ScriptForm::Whole { question.source } else { question.object }.join(".scmversion");
        let uses_given =
            self.scmversion || (self.form == ScriptForm::Suffix && question.makefile.contains(".scmversion"));
        if uses_given && let Some(text) = read_text(&given)? {
            let text = text.trim_end_matches('\n').replace('\n', " ");
            return Ok(known(self.shortened(short, text), FileLine::whole(given), "from the file .scmversion"));
        }
        if self.form == ScriptForm::Perl {
            return perl(question.source);
        }
        let scm = match self.git(question, short) {
            Ok(Some((suffix, why))) => {
                known(self.shortened(short, suffix), FileLine::whole(question.source.join(".git")), why)
            }
            Ok(None) => self.others(question.source, file),
            Err(why) => unknown(FileLine::whole(question.source.join(".git")), why),
        };
        Ok(scm)
    }

    /// The other systems that a script uses if there is no git repository.
    fn others(&self, source: &Path, file: &Path) -> ScmSuffix {
        for (asked, folder, name) in [(self.hg, ".hg", "hg"), (self.svn, ".svn", "svn")] {
            if asked && source.join(folder).exists() {
                return unknown(FileLine::whole(source.join(folder)), format!("the script would run {name}"));
            }
        }
        known("", FileLine::whole(file), "the source is not a repository")
    }

    /// The suffix from git; `None` if there is no repository that counts.
    fn git(&self, question: &ScmInputs, short: bool) -> std::result::Result<Option<(String, String)>, String> {
        let source = question.source;
        let there = match self.repository {
            RepositoryRule::Any => {
                let whole = fs::canonicalize(source).unwrap_or_else(|_| source.to_owned());
                whole.ancestors().any(|folder| folder.join(".git").exists())
            }
            RepositoryRule::GitFolder => source.join(".git").is_dir(),
            RepositoryRule::Top => source.join(".git").exists(),
        };
        if !there {
            return Ok(None);
        }
        let head = git(source, &["rev-parse", "--verify", "HEAD"])?;
        if !head.ok {
            if head.stderr.contains("dubious ownership") || head.stderr.contains("unsafe repository") {
                let why = "git does not trust the repository, which another user owns, so make appends nothing when you run it";
                return Ok(Some((String::new(), why.to_owned())));
            }
            return Ok(None);
        }
        if self.repository == RepositoryRule::Top && !git(source, &["rev-parse", "--show-cdup"])?.stdout.is_empty() {
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
            return Err("the script would run git svn".to_owned());
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

    /// `None` on a tagged commit; else the part from `git describe`, and the same in words.
    fn past(&self, question: &ScmInputs) -> std::result::Result<Option<(Option<String>, String)>, String> {
        let source = question.source;
        let untagged = || Some((None, "no tag before the commit".to_owned()));
        match self.tagged {
            TagRule::NameRev { exact } => {
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
            TagRule::ExactMatch => {
                if !git(source, &["describe", "--exact-match"])?.stdout.is_empty() {
                    return Ok(None);
                }
            }
            TagRule::KernelVersion { describe } => return kernel_version(question, describe),
        }
        let abbrev: &[&str] = match self.counts {
            Some(CommitCount::WithCutHash) => &["describe", "--abbrev=12"],
            _ => &["describe"],
        };
        let described = git(source, abbrev)?;
        if !described.ok {
            return Ok(untagged());
        }
        let words = format!("git describe prints {}", described.stdout);
        let mut parts = described.stdout.rsplit('-');
        let (hash, count) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        // awk takes a text without digits for 0.
        let count: u64 = count.parse().unwrap_or(0);
        let past = match self.counts {
            Some(CommitCount::WithHash) => format!("-{count:05}-{hash}"),
            Some(CommitCount::WithCutHash) => format!("-{count:05}-{}", hash.get(..cut_by_awk()?).unwrap_or(hash)),
            _ => format!("-{count:05}"),
        };
        Ok(Some((Some(past), words)))
    }

    fn hash(&self, source: &Path, head: &str) -> std::result::Result<String, String> {
        match self.hash {
            HashForm::Cut(digits) => Ok(head.get(..digits).unwrap_or(head).to_owned()),
            HashForm::Short => Ok(git(source, &["rev-parse", "--verify", "--short", "HEAD"])?.stdout),
        }
    }
}

/// The tags of a kernel since 6.3: of the localversion file (linux-next), of the version with it (linux-rt), of the version.
/// The first annotated one before the commit counts.
fn kernel_version(
    question: &ScmInputs,
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
    // A tag that begins with a hyphen would be an option; the git of the script refuses it too.
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

/// The tag of `6.2.0-rc5` is `v6.2-rc5`, that of `6.1.7` is `v6.1.7`.
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
fn is_dirty(source: &Path, dirty: DirtyCheck) -> std::result::Result<Option<String>, String> {
    let (arguments, prefix): (&[&str], usize) = match dirty.asked {
        DirtyCommand::Status => (&["status", "-uno", "--porcelain", "--ignore-submodules=dirty"], 3),
        DirtyCommand::DiffFiles => (&["diff-files", "--name-only", "--ignore-submodules=dirty"], 0),
        DirtyCommand::DiffIndex => (&["diff-index", "--name-only", "--ignore-submodules=dirty", "HEAD"], 0),
    };
    must_run_nothing(source)?;
    let answer = git(source, arguments)?;
    if !answer.ok {
        return Err(format!(
            "git {} failed: {}",
            arguments.join(" "),
            answer.stderr.lines().next().unwrap_or_default()
        ));
    }
    let mut files = answer.stdout.lines().filter_map(|line| line.get(prefix..));
    let counts = |file: &&str| !(dirty.without_package && file.starts_with("scripts/package"));
    Ok(files.find(counts).map(str::to_owned))
}

/// A repository's configuration can name programs that git runs on files to compare them. Those in the user's configuration
/// are the user's choice; those of a tree that came from elsewhere are not run.
fn must_run_nothing(source: &Path) -> std::result::Result<(), String> {
    let answer =
        git(source, &["config", "--show-scope", "--name-only", "--get-regexp", "^filter\\..*\\.(clean|process)$"])?;
    if !answer.ok && !answer.stderr.is_empty() {
        return Err(format!("git config failed: {}", answer.stderr.lines().next().unwrap_or_default()));
    }
    let own = answer.stdout.lines().find(|line| !(line.starts_with("global") || line.starts_with("system")));
    match own.and_then(|line| line.split_whitespace().nth(1)) {
        Some(filter) => Err(format!("to find changes, git would run a program that the repository names ({filter})")),
        None => Ok(()),
    }
}

/// The length of the `g` and its digits that awk returns for `substr(…, 0, 13)`: gawk counts position 0 as an empty one (so
/// 12), and old mawk does not (13). make calls the installed awk.
fn cut_by_awk() -> std::result::Result<usize, String> {
    let mut command = Command::new("awk");
    command.arg("BEGIN { print length(substr(\"g0123456789abcdef\", 0, 13)) }");
    let answer = ask(&mut command, LIMIT).map_err(|_| "the script needs awk, which is not installed".to_owned())?;
    answer.stdout.parse().map_err(|_| "the script needs awk, which prints no number here".to_owned())
}

/// Runs git on the repository of a folder.
fn git(source: &Path, arguments: &[&str]) -> std::result::Result<ProgramOutput, String> {
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
        ProgramFailure::Missing => "the source is a repository, and git is not installed".to_owned(),
        ProgramFailure::Failed(why) => format!("git could not be run: {why}"),
    })
}

/// The suffix of the script of 2.6.14, which reads `.git` itself: it knows no packed tags, and only a HEAD that is a commit.
fn perl(source: &Path) -> Result<ScmSuffix> {
    let file = source.join(".git/HEAD");
    let place = FileLine::new(&file, 1);
    let Some(text) = read_text(&file)? else { return Ok(known("", place, "the source is not a repository")) };
    let head = text.lines().next().unwrap_or_default();
    if head.len() < 8 || !head.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(unknown(place, "this script needs a HEAD that is a commit, and it is not"));
    }
    let tags = source.join(".git/refs/tags");
    for name in names_in(&tags) {
        if read_text(&tags.join(name))?.is_some_and(|text| text.trim_end() == head) {
            return Ok(known("", place, "the commit is tagged"));
        }
    }
    Ok(known(format!("-g{}", head.get(..8).unwrap_or(head)), place, "the commit has no tag of its own"))
}

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
