//! What to change in a tree so that its modules carry a kernel's version magic. Reads headers of the tree; decides by values.
//!
//! Each mend is tried on a draft of the tree before it is said, and the version magic that all of them lead to is told: so
//! mends that do not suffice are not taken for ones that do.

use crate::buildtree::BuildTree;
use crate::buildtree::advising::architecture;
use crate::buildtree::advising::fix::{Fix, FixPlan, TreeChange};
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
use crate::error::Result;
use crate::kernel::Kernel;
use crate::vermagic::{Release, TokenKind, Vermagic, compare};

/// How a tree stands to a kernel, and what to change.
///
/// # Errors
///
/// Those of [`crate::buildtree::evaluating::header::vermagic`]; [`ErrorKind::NoVermagic`](crate::error::ErrorKind::NoVermagic) if the
/// kernel's version magic is not known.
pub fn fix_plan(tree: &BuildTree, predictions: &VermagicPredictions, kernel: &Kernel) -> Result<FixPlan> {
    let wanted = &kernel.known_vermagic()?.value;
    let matches = predictions.current.vermagic.as_ref() == Some(wanted);
    let differences = predictions.rebuilt.vermagic.as_ref().map(|vermagic| compare(vermagic, wanted));
    let mut planner = FixPlanner { tree, kernel, wanted, draft: Draft::of(tree), fixes: Vec::new(), is_unsure: false };
    let never = planner.never();
    if never.is_none() && tree.layout.kind != TreeKind::Headers {
        planner.options()?;
        planner.release();
        // First the compiler: without its numbers nothing is known of the string as a whole.
        planner.compiler_token()?;
        planner.tokens()?;
    }
    let after = match (&never, tree.layout.kind) {
        (Some(_), _) | (_, TreeKind::Headers) => predictions.rebuilt.clone(),
        _ => planner.draft.prediction()?,
    };
    if never.is_none() {
        planner.compiler();
        planner.generated(predictions, &after);
        planner.symvers();
    }
    let after = after.vermagic.filter(|_| !planner.is_unsure);
    Ok(FixPlan { matches, differences, fixes: planner.fixes, after, never })
}

struct FixPlanner<'t> {
    tree: &'t BuildTree,
    kernel: &'t Kernel,
    wanted: &'t Vermagic,
    draft: Draft<'t>,
    fixes: Vec<Fix>,
    /// Is there a change of which it can't be told whether it can be made?
    is_unsure: bool,
}

impl FixPlanner<'_> {
    fn wanted(&self) -> &Vermagic {
        self.wanted
    }

    fn release_wanted(&self) -> &str {
        self.wanted().release().map_or("", |token| token.text.as_str())
    }

    fn add(&mut self, change: TreeChange, why: impl Into<String>) {
        self.fixes.push(Fix { change, why: why.into() });
    }

    /// Why no change of this tree would do.
    fn never(&self) -> Option<String> {
        let wanted = self.release_wanted();
        // What stands in a makefile is read by make and a shell, and whoever named the kernel may have been told its name.
        if !Release::is_plain(wanted) {
            return Some(format!("no build makes a release like {wanted}: it has other characters than releases have"));
        }
        if wanted.len() > Releases::LONGEST {
            return Some(format!("no build makes a release of more than {} characters", Releases::LONGEST));
        }
        let carried = self.tree.generated.header.as_ref().map(|now| now.release.as_str());
        if self.tree.layout.kind == TreeKind::Headers || self.tree.layout.forced_release.is_some() {
            let own = self.tree.layout.forced_release.as_ref().map(|forced| forced.value.as_str()).or(carried)?;
            return (own != wanted).then(|| format!("this is a package of {own}, made for that kernel alone"));
        }
        let base = Release::of(wanted).base;
        let own = self.tree.version.kernelversion();
        let own_base = Release::of(&own).base;
        if base == own_base {
            return self.tree.layout.srcarch.as_ref().and_then(|own| architecture::other(&own.value, self.wanted()));
        }
        let banner = self.kernel.facts.banner.as_ref();
        Some(match banner.filter(|banner| names_version(&banner.value, &own_base)) {
            Some(_) => format!(
                "the kernel was made of a source {own_base} too, but is called {wanted} by whoever packaged it: no build \
                 of the source calls itself so"
            ),
            None if base.is_empty() => {
                format!("this is the source of {own_base}, and no source makes a release like {wanted}")
            }
            None => format!("this is the source of {own_base}, and the kernel is of {base}"),
        })
    }

    /// The kernel's configuration, where it is known and would change the version magic.
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
                Some(_) => "its options make the kernel's tokens",
                None => "the tree is not configured",
            };
            self.add(TreeChange::Config { from: theirs.source.to_string(), to }, why);
        }
        Ok(())
    }

    /// The release: what stands behind the numbers.
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
        // One change, of what is next to hand: then another; then all.
        let files: String = self.draft.files.iter().map(|file| file.text.as_str()).collect();
        let extra = self.draft.version.extraversion.value.clone();
        let local = self.draft.option("LOCALVERSION").to_owned();
        // The kernel's own configuration says what of it is CONFIG_LOCALVERSION.
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
                let why = format!("it appends {} to the release, and the kernel's has none of it", file.text);
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
            let why = format!("the kernel's release is {wanted}");
            self.add(TreeChange::Line { place, before: line(&value), after: line(&extra_then) }, why);
            self.draft.version.extraversion.value = extra_then;
        }
    }

    fn local_version(&mut self, value: String) {
        let place = self.tree.place_of("LOCALVERSION");
        let line = |value: &str| format!("CONFIG_LOCALVERSION=\"{value}\"");
        let (before, after) = (line(self.draft.option("LOCALVERSION")), line(&value));
        let why = format!("the kernel's release is {}", self.release_wanted());
        self.add(TreeChange::Line { place, before, after }, why);
        if let Some(config) = &mut self.draft.config {
            config.insert("LOCALVERSION".to_owned(), value);
        }
    }

    /// What LOCALVERSION of the environment adds, where the kernel's release does not end so.
    fn environment(&mut self, wanted: &str) {
        let Some(before) = self.draft.environment.clone().filter(|text| !text.is_empty() && !wanted.ends_with(text))
        else {
            return;
        };
        let place = FileLine::whole(self.tree.layout.source.value.join("Makefile"));
        let how = "unset LOCALVERSION in the environment".to_owned();
        self.add(TreeChange::VersionControl { before, place, how }, "make appends LOCALVERSION to the release");
        self.draft.environment = None;
    }

    /// What version control adds, where the kernel's release does not end so.
    fn version_control(&mut self, wanted: &str) {
        let scm = self.draft.scm.clone();
        // Where it can't be told what is added, the outlook says so.
        let Some(before) = scm.suffix.filter(|suffix| !suffix.is_empty() && !wanted.ends_with(suffix)) else { return };
        let how = match before.as_str() {
            "+" => "give make LOCALVERSION= (set, and empty): then no + is added",
            _ if before.ends_with("dirty") && self.draft.option("LOCALVERSION_AUTO") != "y" => {
                "commit or drop the local changes"
            }
            _ => "set CONFIG_LOCALVERSION_AUTO=n, and give make LOCALVERSION= (set, and empty)",
        };
        self.add(TreeChange::VersionControl { before, place: scm.place, how: how.to_owned() }, scm.why);
        self.draft.scm.suffix = Some(String::new());
    }

    /// Tokens that still differ: by the option that each hangs on.
    fn tokens(&mut self) -> Result<()> {
        // One option may bring another's token with it, so each round is looked at anew.
        for _ in 0..ROUNDS {
            let prediction = self.draft.prediction()?;
            let Some(own) = &prediction.vermagic else { break };
            let lacking = tokens_of(self.wanted()).into_iter().filter(|token| !tokens_of(own).contains(token));
            let surplus = tokens_of(own).into_iter().filter(|token| !tokens_of(self.wanted()).contains(token));
            let by_lack =
                lacking.filter_map(|token| lead_to(&prediction.others, &token).map(|needs| (token, needs, true)));
            let by_surplus = surplus
                .filter_map(|token| lead_away(&prediction, &token, self.wanted()).map(|needs| (token, needs, false)));
            // What was changed already is not changed back: then nothing here leads there.
            let is_new = |(_, needs, _): &(String, Vec<Need>, bool)| !needs.iter().all(|need| self.is_changed(need));
            let Some((token, needs, is_lacking)) = by_lack.chain(by_surplus).find(is_new) else { break };
            let why = match is_lacking {
                true => format!("the kernel has {token}"),
                false => format!("the kernel has no {token}"),
            };
            for need in needs {
                self.set(&need, &why);
            }
        }
        let seeds = |vermagic: &Vermagic| -> Vec<String> {
            let tokens = vermagic.tokens().iter().filter(|token| token.kind == TokenKind::Randstruct);
            tokens.map(|token| token.text.clone()).collect()
        };
        let own = self.draft.prediction()?.vermagic.map(|own| seeds(&own)).unwrap_or_default();
        if let Some(token) = seeds(self.wanted()).into_iter().find(|token| !own.contains(token)) {
            let why = "its structures are shuffled by a seed that only whoever built it has".to_owned();
            self.add(TreeChange::Seed { token }, why);
        }
        Ok(())
    }

    /// Is an option among the changes already?
    fn is_changed(&self, need: &Need) -> bool {
        let name = if need.name.ends_with(PREEMPT_BUILD) { "CONFIG_PREEMPT" } else { need.name.as_str() };
        self.fixes.iter().any(|fix| matches!(&fix.change, TreeChange::Option { option, .. } if option == name))
    }

    fn set(&mut self, need: &Need, why: &str) {
        let Some(option) = need.name.strip_prefix("CONFIG_") else { return };
        if option == PREEMPT_BUILD {
            // Nobody sets it: it is selected.
            return match need.set {
                true => self.set_option("PREEMPT", true, why),
                false => {
                    self.set_option("PREEMPT_DYNAMIC", false, why);
                    self.set_option("PREEMPT", false, why);
                    if let Some(config) = &mut self.draft.config {
                        // What the choice falls back to.
                        config.entry("PREEMPT_NONE".to_owned()).or_insert_with(|| "y".to_owned());
                    }
                }
            };
        }
        if option == "RANDSTRUCT" && need.set {
            // Nor is this one: it stands for two that are chosen among.
            self.set_option("RANDSTRUCT_FULL", true, why);
        }
        if option == "X86_32" {
            return self.set_option("64BIT", !need.set, why);
        }
        self.set_option(option, need.set, why);
    }

    fn set_option(&mut self, option: &str, set: bool, why: &str) {
        let (file, place) = (self.tree.options(), self.tree.place_of(option));
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
        // A whole configuration speaks of each option that can be set as things are.
        let is_whole = file.is_some_and(|file| file.settings.values().any(|setting| setting.value.is_none()));
        let hangs = set && is_whole && file.is_some_and(|file| !file.settings.contains_key(option));
        self.is_unsure |= hangs;
        let why = match hangs {
            true => format!(
                "{why}; .config does not speak of it: what it hangs on is off, and make menuconfig says what that is"
            ),
            false => why.to_owned(),
        };
        let change = TreeChange::Option { option: format!("CONFIG_{option}"), before, after: after.to_owned(), place };
        self.add(change, why);
    }

    /// The compiler, where its numbers are a token of the version magic: before 2.6.20, and on ia64.
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
        self.add(TreeChange::Compiler { before, after: wanted }, "its version is a token of the version magic");
        Ok(())
    }

    /// The compiler that the kernel was built with, where no token shows it.
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
            let why = "the kernel was built by it; structures and calls may hang on what a compiler can do";
            self.add(TreeChange::Compiler { before, after: wanted.text.clone() }, why);
        }
    }

    /// Generated files that are stale or missing.
    fn generated(&mut self, predictions: &VermagicPredictions, after: &VermagicPrediction) {
        // No generated file has the compiler's numbers in it, and all else is known without them.
        let tokens = |prediction: &'_ VermagicPrediction| -> Vec<String> {
            let tokens = prediction.tokens.iter().filter(|token| token.kind != TokenKind::Compiler);
            tokens.map(|token| token.text.clone()).collect()
        };
        if tokens(&predictions.current) == tokens(after) || self.tree.layout.kind == TreeKind::Headers {
            return;
        }
        let now = self.tree.generated.header.as_ref().map(|now| now.release.clone());
        let then = after.tokens.iter().find(|token| token.kind == TokenKind::Release).map(|token| token.text.clone());
        // What can't be told is no reason to call it stale.
        if then.is_none() && now.as_deref() == Some(self.release_wanted()) {
            return;
        }
        let header = self.tree.layout.object.join(self.tree.generated.header_path);
        let place =
            self.tree.generated.header.as_ref().map_or_else(|| FileLine::whole(header), |now| now.place.clone());
        let why = match now {
            Some(_) => "modules carry what stands there, until a build makes it anew",
            None => "it is made by the build",
        };
        self.add(TreeChange::Generate { place, before: now, after: then }, why);
    }

    /// `Module.symvers`, without which modules get no symbol versions.
    fn symvers(&mut self) {
        let file = self.tree.layout.object.join("Module.symvers");
        if self.wanted().has(TokenKind::Modversions) && !file.exists() {
            let why = "without it modules have no symbol versions, or others than the kernel's";
            self.add(TreeChange::Symvers { to: file }, why);
        }
    }
}

/// More options than these no string hangs on.
const ROUNDS: usize = 12;

/// The tokens behind the release, as text; a seed's is a seed's, whatever it says.
fn tokens_of(vermagic: &Vermagic) -> Vec<String> {
    let tokens = vermagic.tokens().iter();
    let counts = |kind| !matches!(kind, TokenKind::Release | TokenKind::Compiler);
    let text = |token: &crate::vermagic::Token| match token.kind {
        TokenKind::Randstruct => "RANDSTRUCT".to_owned(),
        _ => token.text.clone(),
    };
    tokens.filter(|token| counts(token.kind)).map(text).collect()
}

/// What must be set so that a token is there.
fn lead_to(others: &[AlternativePiece], token: &str) -> Option<Vec<Need>> {
    let has = |other: &&AlternativePiece| {
        let text = String::from_utf8_lossy(&other.text);
        text.split(' ').any(|word| word == token || token == "RANDSTRUCT" && word.starts_with("RANDSTRUCT_"))
    };
    others.iter().filter(has).find_map(needs)
}

/// What must be set so that a token is gone, and none comes in its place that is not wanted.
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
    needs.map(|needs| needs.concat()).filter(|needs| needs.iter().any(|need| need.name.starts_with("CONFIG_")))
}

/// Does a version line speak of this version, as Debian's does behind its `#`?
fn names_version(banner: &str, version: &str) -> bool {
    let behind = banner.split_once('#').map_or("", |(_, behind)| behind);
    behind.split([' ', '-', '(']).any(|word| word == version)
}
