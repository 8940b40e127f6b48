//! What to change in a tree so that its modules have a kernel's vermagic. Reads headers of the tree; decides by values.
//!
//! Each fix is tried on a draft of the tree, and the plan contains the vermagic after all fixes. So fixes that are not
//! sufficient are recognised.

use crate::buildtree::advising::architecture;
use crate::buildtree::advising::fix::{Fix, FixPlan, FixReason, Impossible, SuffixRemoval, TreeChange};
use crate::buildtree::evaluating::current::VermagicPredictions;
use crate::buildtree::evaluating::draft::{Draft, PREEMPT_BUILD};
use crate::buildtree::evaluating::header::AlternativePiece;
use crate::buildtree::evaluating::prediction::VermagicPrediction;
use crate::buildtree::evaluating::release::Releases;
use crate::buildtree::file_line::FileLine;
use crate::buildtree::preprocessor::Need;
use crate::buildtree::reading::compiler::Compiler;
use crate::buildtree::reading::layout::TreeKind;
use crate::buildtree::reading::makefile::MakeVariable;
use crate::buildtree::reading::options::is_option_name;
use crate::buildtree::reading::tree::BuildTree;
use crate::error::Result;
use crate::kernel::Kernel;
use crate::vermagic::{Release, TokenKind, Vermagic, compare};

/// How a tree differs from a kernel, and what to change.
///
/// # Errors
///
/// Those of [`crate::buildtree::evaluating::header::vermagic`]; [`ErrorKind::NoVermagic`](crate::error::ErrorKind::NoVermagic)
/// if the kernel's vermagic is not known.
pub fn fix_plan(tree: &BuildTree, predictions: &VermagicPredictions, kernel: &Kernel) -> Result<FixPlan> {
    let wanted = &kernel.known_vermagic()?.value;
    let matches = predictions.current.vermagic.as_ref() == Some(wanted);
    let differences = predictions.rebuilt.vermagic.as_ref().map(|vermagic| compare(vermagic, wanted));
    let mut planner = FixPlanner { tree, kernel, wanted, draft: Draft::of(tree), fixes: Vec::new(), is_unsure: false };
    let impossible = planner.impossible();
    if impossible.is_none() && tree.layout.kind != TreeKind::Headers {
        planner.options()?;
        planner.release();
        // The compiler comes first: without its version the vermagic as a whole is unknown.
        planner.compiler_token()?;
        planner.tokens()?;
    }
    let after = match (&impossible, tree.layout.kind) {
        (Some(_), _) | (_, TreeKind::Headers) => predictions.rebuilt.clone(),
        _ => planner.draft.prediction()?,
    };
    if impossible.is_none() {
        planner.compiler();
        planner.generated(predictions, &after);
        planner.symvers();
    }
    let after = after.vermagic.filter(|_| !planner.is_unsure);
    Ok(FixPlan { matches, differences, fixes: planner.fixes, after, impossible })
}

struct FixPlanner<'t> {
    tree: &'t BuildTree,
    kernel: &'t Kernel,
    wanted: &'t Vermagic,
    draft: Draft<'t>,
    fixes: Vec<Fix>,
    /// Is it unknown whether one of the changes can be made?
    is_unsure: bool,
}

impl FixPlanner<'_> {
    fn wanted(&self) -> &Vermagic {
        self.wanted
    }

    fn release_wanted(&self) -> &str {
        self.wanted().release().map_or("", |token| token.text.as_str())
    }

    fn add(&mut self, change: TreeChange, why: FixReason) {
        self.fixes.push(Fix { change, why });
    }

    /// Why no change of this tree makes it match.
    fn impossible(&self) -> Option<Impossible> {
        let wanted = self.release_wanted();
        // make and a shell interpret the text of a makefile, and the kernel's name can come from somebody else.
        if !Release::is_plain(wanted) {
            return Some(Impossible::ReleaseCharacters { release: wanted.to_owned() });
        }
        if wanted.len() > Releases::LONGEST {
            return Some(Impossible::ReleaseTooLong);
        }
        let built = self.tree.generated.header.as_ref().map(|header| header.release.as_str());
        if self.tree.layout.kind == TreeKind::Headers || self.tree.layout.forced_release.is_some() {
            let own = self.tree.layout.forced_release.as_ref().map(|forced| forced.value.as_str()).or(built)?;
            return (own != wanted).then(|| Impossible::OtherPackage { release: own.to_owned() });
        }
        let base = Release::of(wanted).base;
        let version = Release::of(&self.tree.version.kernelversion()).base;
        if base == version {
            let own = &self.tree.layout.srcarch.as_ref()?.value;
            return architecture::is_other(own, self.wanted())
                .then(|| Impossible::OtherArchitecture { own: own.clone() });
        }
        let banner = self.kernel.facts.banner.as_ref();
        let release = wanted.to_owned();
        Some(match banner.filter(|banner| names_version(&banner.value, &version)) {
            Some(_) => Impossible::RenamedByPackager { version, release },
            None if base.is_empty() => Impossible::NoSuchRelease { version, release },
            None => Impossible::OtherVersion { version, kernel: base },
        })
    }

    /// Uses the kernel's configuration, if it is known and changes the vermagic.
    fn options(&mut self) -> Result<()> {
        let Some(theirs) = &self.kernel.facts.config else { return Ok(()) };
        let without_release = |prediction: &VermagicPrediction| -> Option<Vec<u8>> {
            let vermagic = prediction.vermagic.as_ref()?;
            let end = vermagic.release().map_or(0, |release| release.range.end);
            Some(vermagic.as_bytes().get(end..)?.to_vec())
        };
        let end = self.wanted().release().map_or(0, |release| release.range.end);
        let rest = self.wanted().as_bytes().get(end..).unwrap_or_default().to_vec();
        let now = self.draft.prediction()?;
        if self.draft.config.is_some() && without_release(&now).is_none_or(|own| own == rest) {
            return Ok(());
        }
        let mut copied = self.draft.clone();
        copied.config = Some(theirs.value.clone());
        let then = copied.prediction()?;
        let improves = without_release(&then).is_some_and(|own| own == rest) || self.draft.config.is_none();
        if improves {
            self.draft = copied;
            let to = self.tree.layout.object.join(".config");
            let why = match &self.tree.config {
                Some(_) => FixReason::ConfigTokens,
                None => FixReason::NotConfigured,
            };
            self.add(TreeChange::Config { from: theirs.source.to_string(), to }, why);
        }
        Ok(())
    }

    /// The part of the release after the numbers.
    fn release(&mut self) {
        let wanted = self.release_wanted().to_owned();
        let is_right = |draft: &Draft<'_>| draft.releases().rebuilt.as_deref() == Some(wanted.as_str());
        if is_right(&self.draft) || wanted.is_empty() {
            return;
        }
        self.environment(&wanted);
        self.version_control(&wanted);
        let base = Release::of(&self.draft.version.kernelversion()).base;
        let Some(rest) = wanted.strip_prefix(&base).map(str::to_owned) else { return };
        // Prefer one change, of EXTRAVERSION or CONFIG_LOCALVERSION; then several.
        let files: String = self.draft.files.iter().map(|file| file.text.as_str()).collect();
        let extra = self.draft.version.extraversion.value.clone();
        let local = self.draft.option("LOCALVERSION").to_owned();
        // The kernel's configuration contains its CONFIG_LOCALVERSION.
        let theirs = self.kernel.facts.config.as_ref().and_then(|config| config.value.get("LOCALVERSION")).cloned();
        let ends = |tail: &str| rest.strip_suffix(tail).map(str::to_owned);
        let (extra_then, files_stay, local_then) = match theirs {
            Some(theirs) if ends(&format!("{files}{theirs}")).as_deref() == Some(extra.as_str()) => {
                (extra, true, theirs)
            }
            Some(theirs) if ends(&theirs).as_deref() == Some(extra.as_str()) => (extra, false, theirs),
            _ if format!("{extra}{local}") == rest => (extra, false, local),
            _ => match (ends(&format!("{files}{local}")), rest.strip_prefix(&format!("{extra}{files}"))) {
                (Some(extra), _) if local.is_empty() || !extra.is_empty() => (extra, true, local),
                (_, Some(local)) => (extra, true, local.to_owned()),
                (Some(extra), None) => (extra, true, local),
                (None, None) => match ends(&local) {
                    Some(extra) => (extra, false, local),
                    None => (rest.clone(), false, String::new()),
                },
            },
        };
        if !files_stay {
            for file in std::mem::take(&mut self.draft.files).into_iter().filter(|file| !file.text.is_empty()) {
                let why = FixReason::Appended(file.text.clone());
                self.add(TreeChange::Empty { file: file.place.file, before: file.text }, why);
            }
        }
        if local_then != self.draft.option("LOCALVERSION") {
            self.local_version(local_then);
        }
        if extra_then != self.draft.version.extraversion.value {
            let MakeVariable { value, place } = self.draft.version.extraversion.clone();
            let line = |value: &str| {
                if value.is_empty() { "EXTRAVERSION =".to_owned() } else { format!("EXTRAVERSION = {value}") }
            };
            let why = FixReason::Release(wanted.clone());
            self.add(TreeChange::Line { place, before: line(&value), after: line(&extra_then) }, why);
            self.draft.version.extraversion.value = extra_then;
        }
    }

    /// The line of an option in the configuration that the next build uses: without `.config` that is the one that is copied there, and
    /// the generated one is not used any more.
    fn place_of(&self, option: &str) -> FileLine {
        let copied = self.fixes.iter().find_map(|fix| match &fix.change {
            TreeChange::Config { to, .. } if self.tree.config.is_none() => Some(FileLine::whole(to)),
            _ => None,
        });
        copied.unwrap_or_else(|| self.tree.place_of(option))
    }

    fn local_version(&mut self, value: String) {
        let place = self.place_of("LOCALVERSION");
        let line = |value: &str| format!("CONFIG_LOCALVERSION=\"{value}\"");
        let (before, after) = (line(self.draft.option("LOCALVERSION")), line(&value));
        let why = FixReason::Release(self.release_wanted().to_owned());
        self.add(TreeChange::Line { place, before, after }, why);
        if let Some(config) = &mut self.draft.config {
            config.insert("LOCALVERSION".to_owned(), value);
        }
    }

    /// Removes LOCALVERSION of the environment, if the kernel's release does not end with it.
    fn environment(&mut self, wanted: &str) {
        let Some(before) = self.draft.environment.clone().filter(|text| !text.is_empty() && !wanted.ends_with(text))
        else {
            return;
        };
        let place = FileLine::whole(self.tree.layout.source.value.join("Makefile"));
        let how = SuffixRemoval::UnsetLocalversion;
        self.add(TreeChange::VersionControl { before, place, how }, FixReason::Environment);
        self.draft.environment = None;
    }

    /// Removes the suffix of version control, if the kernel's release does not end with it.
    fn version_control(&mut self, wanted: &str) {
        let scm = self.draft.scm.clone();
        // If the suffix is unknown, the prediction says so.
        let Some(before) = scm.suffix.filter(|suffix| !suffix.is_empty() && !wanted.ends_with(suffix)) else { return };
        let how = match before.as_str() {
            "+" => SuffixRemoval::EmptyLocalversion,
            _ if before.ends_with("dirty") && self.draft.option("LOCALVERSION_AUTO") != "y" => {
                SuffixRemoval::CommitChanges
            }
            _ => SuffixRemoval::DisableAuto,
        };
        self.add(TreeChange::VersionControl { before, place: scm.place, how }, FixReason::VersionControl(scm.why));
        self.draft.scm.suffix = Some(String::new());
    }

    /// Tokens that still differ: sets the options that they depend on.
    fn tokens(&mut self) -> Result<()> {
        // Setting one option can add the token of another, so each round evaluates the draft again.
        for _ in 0..ROUNDS {
            let prediction = self.draft.prediction()?;
            let Some(own) = &prediction.vermagic else { break };
            let missing = tokens_of(self.wanted()).into_iter().filter(|token| !tokens_of(own).contains(token));
            let surplus = tokens_of(own).into_iter().filter(|token| !tokens_of(self.wanted()).contains(token));
            let by_lack =
                missing.filter_map(|token| lead_to(&prediction.others, &token).map(|needs| (token, needs, true)));
            let by_surplus = surplus
                .filter_map(|token| lead_away(&prediction, &token, self.wanted()).map(|needs| (token, needs, false)));
            // An option that was changed is not changed back: then no option leads to the kernel's vermagic.
            let is_new = |(_, needs, _): &(String, Vec<Need>, bool)| !needs.iter().all(|need| self.is_changed(need));
            let Some((token, needs, wanted)) = by_lack.chain(by_surplus).find(is_new) else { break };
            for need in needs {
                self.set(&need, &token, wanted);
            }
        }
        let seeds = |vermagic: &Vermagic| -> Vec<String> {
            let tokens = vermagic.tokens().iter().filter(|token| token.kind == TokenKind::Randstruct);
            tokens.map(|token| token.text.clone()).collect()
        };
        let own = self.draft.prediction()?.vermagic.map(|own| seeds(&own)).unwrap_or_default();
        if let Some(token) = seeds(self.wanted()).into_iter().find(|token| !own.contains(token)) {
            self.add(TreeChange::Seed { token }, FixReason::ShuffledStructures);
        }
        Ok(())
    }

    /// Is the option already changed?
    fn is_changed(&self, need: &Need) -> bool {
        let name = if need.name.ends_with(PREEMPT_BUILD) { "CONFIG_PREEMPT" } else { need.name.as_str() };
        self.fixes.iter().any(|fix| matches!(&fix.change, TreeChange::Option { option, .. } if option == name))
    }

    /// Sets an option or what selects it. The token that differs, and whether the kernel has it, are the reason.
    fn set(&mut self, need: &Need, token: &str, wanted: bool) {
        let Some(option) = need.name.strip_prefix("CONFIG_") else { return };
        if option == PREEMPT_BUILD {
            // No user sets it; other options select it.
            return match need.set {
                true => self.set_option("PREEMPT", true, token, wanted),
                false => {
                    self.set_option("PREEMPT_DYNAMIC", false, token, wanted);
                    self.set_option("PREEMPT", false, token, wanted);
                    if let Some(config) = &mut self.draft.config {
                        // The fallback of the choice.
                        config.entry("PREEMPT_NONE".to_owned()).or_insert_with(|| "y".to_owned());
                    }
                }
            };
        }
        if option == "RANDSTRUCT" && need.set {
            // No user sets this one either: one of its two variants must be chosen.
            self.set_option("RANDSTRUCT_FULL", true, token, wanted);
        }
        if option == "X86_32" {
            return self.set_option("64BIT", !need.set, token, wanted);
        }
        self.set_option(option, need.set, token, wanted);
    }

    fn set_option(&mut self, option: &str, set: bool, token: &str, wanted: bool) {
        let (file, place) = (self.tree.options(), self.place_of(option));
        let Some(config) = &mut self.draft.config else { return };
        let before = config.get(option).cloned().unwrap_or_else(|| "n".to_owned());
        let after = if set { "y" } else { "n" };
        if before == after {
            return;
        }
        match set {
            true => config.insert(option.to_owned(), after.to_owned()),
            false => config.remove(option),
        };
        // A complete configuration has an entry for each option that can be set as things are.
        let is_complete = file.is_some_and(|file| file.settings.values().any(|setting| setting.value.is_none()));
        let without_entry = set && is_complete && file.is_some_and(|file| !file.settings.contains_key(option));
        self.is_unsure |= without_entry;
        let why = FixReason::Token { token: token.to_owned(), wanted, without_entry };
        let change = TreeChange::Option { option: format!("CONFIG_{option}"), before, after: after.to_owned(), place };
        self.add(change, why);
    }

    /// The compiler, if its version is a token of the vermagic: before 2.6.20, and on ia64.
    fn compiler_token(&mut self) -> Result<()> {
        let token = |vermagic: &Vermagic| {
            let token = vermagic.tokens().iter().find(|token| token.kind == TokenKind::Compiler);
            token.map(|token| token.text.clone())
        };
        let Some(wanted) = token(self.wanted()) else { return Ok(()) };
        if self.draft.prediction()?.vermagic.as_ref().and_then(token).as_ref() == Some(&wanted) {
            return Ok(());
        }
        let mut numbers = wanted.trim_start_matches("gcc-").split('.').map(|number| number.parse().ok());
        if let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) {
            self.draft.compiler = Some((major, minor));
        }
        let before = self.tree.compilers.here.as_ref().map(|here| here.text.clone());
        self.add(TreeChange::Compiler { before, after: wanted }, FixReason::CompilerToken);
        Ok(())
    }

    /// The compiler that the kernel was built with, if no token shows it.
    fn compiler(&mut self) {
        let compilers = &self.tree.compilers;
        let before = compilers.here.as_ref().map(|here| here.text.clone());
        if self.wanted().has(TokenKind::Compiler) {
            return;
        }
        let theirs = self.kernel.facts.banner.as_ref().and_then(|banner| Compiler::of_banner(&banner.value));
        let wanted = theirs.as_ref().or(compilers.recorded.as_ref());
        if let (Some(wanted), Some(here)) = (wanted, compilers.here.as_ref())
            && !wanted.is_like(here)
        {
            self.add(TreeChange::Compiler { before, after: wanted.text.clone() }, FixReason::CompilerOfKernel);
        }
    }

    /// Generated files that are stale or missing.
    fn generated(&mut self, predictions: &VermagicPredictions, after: &VermagicPrediction) {
        // No generated file contains the compiler's version, and the other tokens are known without it.
        let tokens = |prediction: &'_ VermagicPrediction| -> Vec<String> {
            let tokens = prediction.tokens.iter().filter(|token| token.kind != TokenKind::Compiler);
            tokens.map(|token| token.text.clone()).collect()
        };
        if tokens(&predictions.current) == tokens(after) || self.tree.layout.kind == TreeKind::Headers {
            return;
        }
        let now = self.tree.generated.header.as_ref().map(|now| now.release.clone());
        let then = after.tokens.iter().find(|token| token.kind == TokenKind::Release).map(|token| token.text.clone());
        // An unknown release does not make the file stale.
        if then.is_none() && now.as_deref() == Some(self.release_wanted()) {
            return;
        }
        let header = self.tree.layout.object.join(self.tree.generated.header_path);
        let place =
            self.tree.generated.header.as_ref().map_or_else(|| FileLine::whole(header), |now| now.place.clone());
        let why = match now {
            Some(_) => FixReason::StaleRelease,
            None => FixReason::NotBuilt,
        };
        self.add(TreeChange::Generate { place, before: now, after: then }, why);
    }

    /// `Module.symvers`: without it modules get no symbol versions.
    fn symvers(&mut self) {
        let file = self.tree.layout.object.join("Module.symvers");
        if self.wanted().has(TokenKind::Modversions) && !file.exists() {
            self.add(TreeChange::Symvers { to: file }, FixReason::SymbolVersions);
        }
    }
}

/// No vermagic depends on more options.
const ROUNDS: usize = 12;

/// The tokens after the release, as text. All seeds are the same token here.
fn tokens_of(vermagic: &Vermagic) -> Vec<String> {
    let tokens = vermagic.tokens().iter();
    let counts = |kind| !matches!(kind, TokenKind::Release | TokenKind::Compiler);
    let text = |token: &crate::vermagic::Token| match token.kind {
        TokenKind::Randstruct => "RANDSTRUCT".to_owned(),
        _ => token.text.clone(),
    };
    tokens.filter(|token| counts(token.kind)).map(text).collect()
}

/// What must be set so that the vermagic has a token.
fn lead_to(others: &[AlternativePiece], token: &str) -> Option<Vec<Need>> {
    let has = |other: &&AlternativePiece| {
        let text = String::from_utf8_lossy(&other.text);
        text.split(' ').any(|word| word == token || token == "RANDSTRUCT" && word.starts_with("RANDSTRUCT_"))
    };
    others.iter().filter(has).find_map(needs)
}

/// What must be set so that a token disappears, and no unwanted token replaces it.
fn lead_away(prediction: &VermagicPrediction, token: &str, wanted: &Vermagic) -> Option<Vec<Need>> {
    let wanted = tokens_of(wanted);
    let words = |text: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(text).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let had =
        |other: &&AlternativePiece| other.now.as_deref().is_some_and(|now| words(now).iter().any(|word| word == token));
    let gone = |other: &&AlternativePiece| words(&other.text).iter().all(|word| word != token && wanted.contains(word));
    prediction.others.iter().filter(had).filter(gone).find_map(needs)
}

fn needs(other: &AlternativePiece) -> Option<Vec<Need>> {
    let needs: Option<Vec<Vec<Need>>> = other.conditions.iter().map(|condition| condition.needs.clone()).collect();
    let needs = needs?.concat();
    let options: Vec<&str> = needs.iter().filter_map(|need| need.name.strip_prefix("CONFIG_")).collect();
    // A header can test a name that no configuration has an option for.
    let can_be_set = !options.is_empty() && options.into_iter().all(is_option_name);
    can_be_set.then_some(needs)
}

/// Does a banner name this version, as Debian's does after its `#`?
fn names_version(banner: &str, version: &str) -> bool {
    let after = banner.split_once('#').map_or("", |(_, after)| after);
    after.split([' ', '-', '(']).any(|word| word == version)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::buildtree::reading::options::{Options, config_of};
    use crate::buildtree::reading::tree::MakeArguments;
    use crate::kernel::{Fact, Facts, KernelName};

    /// A header with one token, which depends on an option.
    fn header(option: &str) -> String {
        format!(
            "#include <generated/utsrelease.h>\n#ifdef {option}\n#define WORD \"SMP \"\n#else\n#define WORD \"\"\n#endif\n\
             #define VERMAGIC_STRING UTS_RELEASE \" \" WORD\n"
        )
    }

    /// The plan for a tree of 6.1.0 with these files, and for a kernel with this version magic and configuration.
    fn plan(files: &[(&str, &str)], vermagic: &str, config: Option<&str>) -> FixPlan {
        let folder = tempfile::tempdir().unwrap();
        let makefile = ("Makefile", "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\nEXTRAVERSION =\n");
        for (path, text) in [makefile, ("init/main.c", ""), ("arch/x86/Makefile", "")].iter().chain(files) {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let tree = BuildTree::read(folder.path(), &MakeArguments::default()).unwrap();
        let config = config
            .map(|text| Fact { value: config_of(&Options::parse(text, Path::new("config"))), source: "config".into() });
        let kernel = Kernel {
            name: KernelName::from("test"),
            vermagic: Some(Fact { value: Vermagic::parse(vermagic.as_bytes()), source: "test".into() }),
            facts: Facts { config, ..Facts::default() },
        };
        fix_plan(&tree, &VermagicPredictions::of(&tree).unwrap(), &kernel).unwrap()
    }

    /// The next build generates `auto.conf` from the configuration that is copied to `.config`.
    #[test]
    fn after_a_configuration_is_copied_options_are_set_there() {
        let header = header("CONFIG_SMP");
        let files = [
            ("include/linux/vermagic.h", header.as_str()),
            ("include/config/auto.conf", "CONFIG_X86=y\nCONFIG_LOCALVERSION=\"-own\"\n"),
        ];
        let config = "CONFIG_X86=y\nCONFIG_SMP=y\nCONFIG_LOCALVERSION=\"-theirs\"\n# CONFIG_X is not set\n";
        let mut places = 0;
        for vermagic in ["6.1.0-wanted SMP ", "6.1.0 SMP ", "6.1.0-theirs ", "6.1.0-wanted "] {
            // The tree has options, and none that give a version magic: the kernel's are used where they help.
            let plan = plan(&files, vermagic, Some(config));
            let is_copied = plan.fixes.iter().any(|fix| matches!(fix.change, TreeChange::Config { .. }));
            for fix in plan.fixes.iter().filter(|_| is_copied) {
                let (TreeChange::Line { place, .. } | TreeChange::Option { place, .. }) = &fix.change else { continue };
                assert!(!place.file.ends_with("include/config/auto.conf"), "{vermagic}: {fix:?}");
                places += 1;
            }
        }
        assert!(places > 0);
    }

    #[test]
    fn what_is_no_name_of_an_option_is_not_proposed_as_one() {
        let options = "CONFIG_X86=y\n# CONFIG_SMP is not set\n";
        for (name, is_option) in [("CONFIG_SMP", true), ("CONFIG_S\u{fffd}MP", false), ("CONFIG_S\u{e9}MP", false)] {
            let header = header(name);
            let plan = plan(&[("include/linux/vermagic.h", &header), (".config", options)], "6.1.0 SMP ", None);
            let proposed = plan.fixes.iter().filter(|fix| matches!(fix.change, TreeChange::Option { .. })).count();
            assert_eq!(
                (proposed, plan.after.is_some_and(|after| after.as_bytes() == b"6.1.0 SMP ")),
                (usize::from(is_option), is_option),
                "{name}"
            );
        }
    }
}
