//! What a `scripts/setlocalversion` does, determined from its text: the script is read, never run. Pure.

/// What a script does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetlocalversionScript {
    pub(super) form: ScriptForm,
    /// Does it use `.scmversion`?
    pub(super) scmversion: bool,
    pub(super) repository: RepositoryRule,
    pub(super) tagged: TagRule,
    /// Does it print the number of commits since the tag?
    pub(super) counts: Option<CommitCount>,
    pub(super) hash: HashForm,
    pub(super) dirty: Option<DirtyCheck>,
    /// Is the suffix appended with CONFIG_LOCALVERSION_AUTO? Some vendors removed that.
    pub(super) full: bool,
    pub(super) short: ShortForm,
    pub(super) git_svn: bool,
    pub(super) hg: bool,
    pub(super) svn: bool,
}

/// What the script prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptForm {
    /// The Perl script of 2.6.14.
    Perl,
    /// The suffix, and only if CONFIG_LOCALVERSION_AUTO is set.
    Suffix,
    /// Everything after KERNELVERSION, or the complete release.
    Whole,
}

/// Which repository counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RepositoryRule {
    /// One in any folder above.
    Any,
    /// One whose `.git` is a folder of the source.
    GitFolder,
    /// One whose top is the source.
    Top,
}

/// Which commits count as tagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagRule {
    /// `git name-rev --tags` is not undefined; since 2.6.25, and does not name a commit before a tag.
    NameRev { exact: bool },
    /// `git describe --exact-match`.
    ExactMatch,
    /// The tag is that of KERNELVERSION, from `git describe --match`; `false`: from `git rev-list`, which reads one tag.
    KernelVersion { describe: bool },
}

/// How the number of commits is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommitCount {
    /// `-00003-gHASH`, both from `git describe`.
    WithHash,
    /// The same from `git describe --abbrev=12`, cut by awk's `substr(…, 0, 13)`: 11 or 12 digits, depending on the awk.
    WithCutHash,
    /// `-00003`, then the hash as without a tag.
    Alone,
}

/// How a hash is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashForm {
    /// Cut to this number of digits.
    Cut(usize),
    /// As `git rev-parse --short` prints it.
    Short,
}

/// The mark for uncommitted changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DirtyCheck {
    pub(super) word: &'static str,
    /// Are changes below `scripts/package` ignored?
    pub(super) without_package: bool,
    /// The command that finds changes.
    pub(super) asked: DirtyCommand,
}

/// How a script finds changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirtyCommand {
    /// `git status -uno --porcelain`; scripts that refresh the index first get the same answer.
    Status,
    /// `git diff-files`, without a refresh: files that were touched count, changes in the index do not.
    DiffFiles,
    /// `git diff-index HEAD`, without a refresh: files that were touched count.
    DiffIndex,
}

/// The suffix without CONFIG_LOCALVERSION_AUTO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShortForm {
    /// Nothing.
    Nothing,
    /// `+` for any suffix (`${scm:++}`).
    Plus,
    /// Unchanged: `+`, and on a tag `-dirty`.
    AsIs,
}

/// A line that prints something unknown.
#[derive(Debug)]
pub(super) struct UnknownLine {
    pub(super) line: usize,
    pub(super) text: String,
}

impl SetlocalversionScript {
    pub(super) fn parse(text: &str) -> std::result::Result<SetlocalversionScript, UnknownLine> {
        if text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("perl")) {
            return Ok(SetlocalversionScript::perl());
        }
        let code = code(text);
        if let Some((line, text)) = code.iter().find(|(_, line)| is_strange(line)) {
            return Err(UnknownLine { line: *line, text: (*text).to_owned() });
        }
        let has = |words: &str| code.iter().any(|(_, line)| line.contains(words));
        let whole = has("collect_files");
        let tagged = match () {
            () if has("try_tag") => TagRule::KernelVersion { describe: false },
            () if has("--match=$tag") => TagRule::KernelVersion { describe: true },
            () if has("describe --exact-match") => TagRule::ExactMatch,
            () if has("name-rev") => TagRule::NameRev { exact: has("~[0-9]*") },
            () => return Err(UnknownLine { line: 0, text: "it does not call git in a known way".to_owned() }),
        };
        let counts = match () {
            () if has("substr($(NF),0,13)") => Some(CommitCount::WithCutHash),
            () if has("-%05d-%s") => Some(CommitCount::WithHash),
            () if has("%05d") => Some(CommitCount::Alone),
            () => None,
        };
        let hash = match () {
            () if has("cut -c1-8") => HashForm::Cut(8),
            () if has("cut -c1-12") || has("%.12s") => HashForm::Cut(12),
            () => HashForm::Short,
        };
        let word = ["-git_dirty", "-dirty"].into_iter().find(|word| has(word) && has("diff-"));
        let dirty = word.map(|word| DirtyCheck {
            word,
            without_package: has("scripts/package"),
            asked: match () {
                () if has("status -uno") || has("update-index --refresh") => DirtyCommand::Status,
                () if has("diff-files") => DirtyCommand::DiffFiles,
                () => DirtyCommand::DiffIndex,
            },
        });
        let short = match () {
            () if !whole || !has("scm_version --short") => ShortForm::Nothing,
            () if has("${scm:++}") => ShortForm::Plus,
            () if has("$res$scm\"") || has("${scm_version}") => ShortForm::AsIs,
            () => ShortForm::Nothing,
        };
        Ok(SetlocalversionScript {
            form: if whole { ScriptForm::Whole } else { ScriptForm::Suffix },
            scmversion: has("cat .scmversion"),
            repository: match () {
                () if has("--show-cdup") => RepositoryRule::Top,
                () if has("test -d .git ") => RepositoryRule::GitFolder,
                () => RepositoryRule::Any,
            },
            tagged,
            counts,
            hash,
            dirty,
            full: !whole || has("\"$res$(scm_version)\"") || has("scm_version=\"$(scm_version)\""),
            short,
            git_svn: has("svn-remote.svn.url"),
            hg: has("hg id"),
            // 2.6.31 to 2.6.34 disable it with a here-document.
            svn: has("svn info") && !has("<<disable_svn"),
        })
    }

    pub(super) fn perl() -> SetlocalversionScript {
        SetlocalversionScript {
            form: ScriptForm::Perl,
            scmversion: false,
            repository: RepositoryRule::GitFolder,
            tagged: TagRule::NameRev { exact: false },
            counts: None,
            hash: HashForm::Cut(8),
            dirty: None,
            full: true,
            short: ShortForm::Nothing,
            git_svn: false,
            hg: false,
            svn: false,
        }
    }

    pub(super) fn shortened(&self, short: bool, suffix: String) -> String {
        match (short, self.short) {
            (true, ShortForm::Plus) if !suffix.is_empty() => "+".to_owned(),
            _ => suffix,
        }
    }

    /// Does the hash still have to be printed?
    pub(super) fn appends_hash(&self, past: &str) -> bool {
        past.is_empty() || self.counts == Some(CommitCount::Alone)
    }
}

/// The lines of a script that are code, with their numbers.
fn code(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect()
}

/// Does a line print something that no kernel's own script prints?
fn is_strange(line: &str) -> bool {
    let line = line.rsplit(") ").next().filter(|rest| rest.starts_with("printf")).unwrap_or(line);
    let adds = ["echo ", "printf ", "cat ", "res="].iter().any(|word| line.starts_with(word));
    adds && !line.contains(">&2") && !KNOWN.iter().any(|known| line.starts_with(known))
}

/// How the known lines begin that print a part of the answer.
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
    fn a_script_that_prints_something_else_is_not_interpreted() {
        let vendor = "#!/bin/sh\nif git describe --exact-match; then :; fi\nres=\"$res-android12-9\"\n";
        assert_eq!(SetlocalversionScript::parse(vendor).map_err(|strange| strange.line).unwrap_err(), 3);
        assert!(SetlocalversionScript::parse("#!/bin/sh\n# nothing at all\n").is_err());
        // A comment prints nothing.
        let quiet = "#!/bin/sh\n#\techo \"-mine\"\ngit describe --exact-match\nprintf '%s%s' -g $head\n";
        assert_eq!(SetlocalversionScript::parse(quiet).unwrap().dirty, None);
    }
}
