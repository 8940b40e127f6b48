//! Promise: a report shows everything that was recorded, to people and programs, and none of it is interpreted as markup or
//! commands.
//!
//! `scene` invents records: a few telling trials, and any number of trials with hostile texts in all places. The tests here
//! read the output of `report`; those in `browser` open it in Chromium. `week` invents a week of a journal, whose page `journal` reads and opens.

mod browser;
mod journal;
mod palette;
mod scene;
mod week;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use kmodlab::lab::record::{Agreement, Trial, TrialOutcome, TrialRole};
use kmodlab::lab::store;
use kmodlab::report::{self, TrialSummary, words};

/// The texts between two marks, in order.
fn between<'t>(text: &'t str, start: &str, end: &str) -> Vec<&'t str> {
    text.split(start).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

/// The article of a trial: from its anchor to its end.
fn article_of<'p>(page: &'p str, name: &str) -> &'p str {
    between(page, "<article ", "</article>").into_iter().find(|a| a.contains(&format!("<h3>{name}<"))).unwrap()
}

#[test]
fn every_trial_is_in_the_map_and_has_its_article() {
    let trials = scene::many(1_200);
    let page = report::page(&trials);
    let anchors = between(&page, "<article id=\"", "\"");
    assert_eq!(anchors.len(), 1_200);
    assert_eq!(anchors.iter().collect::<BTreeSet<_>>().len(), 1_200, "each anchor is there once");
    let ids: BTreeSet<&str> = between(&page, " id=\"", "\"").into_iter().collect();
    let links = between(&page, "href=\"#", "\"");
    assert!(links.len() >= 4 * 1_200 - 2, "a box, previous, next and close for each: {}", links.len());
    for link in links {
        assert!(ids.contains(link), "the link #{link} leads nowhere");
    }
    let map = page.split("<section id=\"map\">").nth(1).unwrap();
    let boxes = between(map, "<a class=\"b ", "\"").len();
    assert_eq!(boxes, 1_200);
}

#[test]
fn the_counts_are_those_of_the_trials() {
    let trials = scene::many(1_000);
    let summary = TrialSummary::of(&trials);
    let with = |outcome| trials.iter().filter(|trial| trial.outcome == outcome).count();
    for outcome in TrialOutcome::ALL {
        assert!(with(outcome) > 0, "the scene lacks {outcome:?}");
        assert_eq!(summary.outcome(outcome), with(outcome));
    }
    assert_eq!(summary.agreement.agree + summary.agreement.unknown + summary.agreement.disagree, 1_000);
    let page = report::page(&trials);
    let title = between(&page, "<title>", "</title>")[0];
    let (agree, unknown, disagree) = (summary.agreement.agree, summary.agreement.unknown, summary.agreement.disagree);
    assert_eq!(title, format!("kmodlab: 1,000 trials: {agree} agree, {unknown} unknown, {disagree} disagree"));
    for outcome in TrialOutcome::ALL {
        assert!(page.contains(&outcome.sentence().replace('&', "&amp;")), "the legend explains {outcome:?}");
    }
}

#[test]
fn no_outcome_is_shown_only_by_its_colour() {
    let page = report::page(&scene::story());
    for line in between(&page, "<a class=\"b ", "</a>") {
        let (attributes, sign) = line.split_once('>').unwrap();
        let outcome = TrialOutcome::ALL.into_iter().find(|o| attributes.contains(&format!("\"{},", o.name())));
        let outcome = outcome.unwrap_or_else(|| panic!("the box says no outcome: {attributes}"));
        assert!(sign.starts_with(words::sign(outcome)), "{sign}");
        assert_eq!(attributes.contains("not as predicted"), sign.contains("<sup>\u{2260}</sup>"));
        assert_eq!(attributes.contains("can't be compared"), sign.contains("<sup>?</sup>"));
    }
}

#[test]
fn untrusted_text_stays_text() {
    let mut trials = scene::story();
    trials.extend(scene::hostile());
    let page = report::page(&trials);
    let body = page.split("</style>").nth(1).unwrap();
    for element in ["<script", "<img", "<iframe", "<svg", "<object", "<link", "<form", "<base", "<!--", "</style"] {
        assert!(!body.contains(element), "{element} is an element");
    }
    assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(body.contains("&quot;&gt;&lt;img src=x onerror=owned=1&gt;"));
    for shown in ["\\x1b[31m", "\\u{202e}", "\\x00", "\\u{200b}"] {
        assert!(body.contains(shown), "{shown} is made visible");
    }
    let is_hidden = |c: &char| {
        (c.is_control() && *c != '\n') || ('\u{200b}'..='\u{200f}').contains(c) || ('\u{202a}'..='\u{202e}').contains(c)
    };
    assert_eq!(page.chars().find(is_hidden), None);
}

#[test]
fn the_page_needs_nothing_and_allows_nothing() {
    let page = report::page(&scene::many(50));
    let policy = between(&page, "http-equiv=\"Content-Security-Policy\" content=\"", "\"")[0];
    assert!(policy.starts_with("default-src 'none'; style-src 'unsafe-inline'"), "{policy}");
    for reference in
        [" src=", "url(", "@import", "http://", "https://", " href=\"h", " onload=", " onerror=", " onclick="]
    {
        let found = between(&page, "<", ">").into_iter().find(|tag| tag.contains(reference));
        assert_eq!(found, None, "{reference}");
    }
    let style = between(&page, "<style>", "</style>")[0];
    assert!(!style.contains("url(") && !style.contains("@import") && !style.contains('<'));
}

#[test]
fn an_article_has_everything_that_was_recorded() {
    let page = report::page(&scene::story());
    let refused = article_of(&page, "nlmon");
    for part in [
        "<mark>nlmon: disagrees about version of symbol module_layout</mark>",
        "ENOEXEC (8)",
        "The loader answered as predicted",
        "module 0x1a2b3c4d, kernel 0x9f949ae7",
        "passes: permission, signature, elf",
    ] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
    let silent = article_of(&page, "dummy");
    let row = silent.split("dummy0 sends").nth(1).unwrap().split("</tr>").next().unwrap();
    assert!(row.contains("\u{2260} 0 packets") && row.contains("3 packets"), "next to the control's: {row}");
    assert!(silent.contains("<b>F</b> a module was loaded by force"));
    let crash = article_of(&page, "veth");
    for part in ["oops", "register_netdevice+0x38/0x5c0", "veth_init+0x2d/0x1000", "The end of the console"] {
        assert!(crash.contains(part), "{part} is missing in {crash}");
    }
    assert_eq!(between(crash, "<mark>", "</mark>").len(), 2, "the line is marked in the article and in the log");
    let patched = article_of(&page, "ifb");
    for part in ["before", "after", "<b>", "00000158", "reported success", "struct-module", "live, its own taints"] {
        assert!(patched.contains(part), "{part} is missing in {patched}");
    }
    let wrong = article_of(&page, "tun");
    assert!(
        wrong.contains("\u{2260} The answer is not as predicted")
            && wrong.contains("predicted: accepted; happened: refused")
    );
    let lacking = article_of(&page, "vxlan");
    for part in ["ip6_udp_tunnel, udp_tunnel", "not all; refused: udp_tunnel with ENOEXEC (8)"] {
        assert!(lacking.contains(part), "{part} is missing in {lacking}");
    }
    assert!(article_of(&page, "geneve").contains("all of them"), "what it needs was loaded");
    assert!(article_of(&page, "bonding").contains("ended in the middle of a report"));
    let broken = article_of(&page, "macvlan");
    assert!(broken.contains("record broken"), "{broken}");
}

#[test]
fn controls_are_separate() {
    let page = report::page(&scene::story());
    let (map, controls) = page.split_once("<section id=\"controls\">").unwrap();
    let map = map.split("<section id=\"map\">").nth(1).unwrap();
    let controls = controls.split("</section>").next().unwrap();
    let (asked, own): (Vec<_>, Vec<_>) = scene::story().into_iter().partition(|trial| trial.role == TrialRole::Asked);
    assert_eq!(between(map, "<a class=\"b ", "\"").len(), asked.len());
    assert_eq!(between(controls, "<a class=\"b ", "\"").len(), own.len());
}

#[test]
fn a_printed_page_lists_failures() {
    let trials = scene::many(1_000);
    let page = report::page(&trials);
    let printed = between(&page, "<article id=\"", ">").into_iter().filter(|tag| tag.ends_with(" p\"")).count();
    let wrong = |trial: &&Trial| {
        trial.agreement == Agreement::Disagree || matches!(trial.outcome, TrialOutcome::Crash | TrialOutcome::Hang)
    };
    assert_eq!(printed, trials.iter().filter(wrong).count());
}

#[test]
fn a_later_record_replaces_an_earlier_one() {
    let mut trials = scene::story();
    let mut again = trials[2].clone();
    again.outcome = TrialOutcome::Hang;
    let count = trials.len();
    trials.push(again);
    let document: serde_json::Value = serde_json::from_str(&report::json(&trials).unwrap()).unwrap();
    assert_eq!(document["summary"]["trials"], count);
    assert_eq!(document["trials"].as_array().unwrap().len(), count);
    assert_eq!(document["trials"][2]["outcome"], "hang");
    assert_eq!(between(&report::page(&trials), "<article ", ">").len(), count);
}

#[test]
fn json_has_the_records_as_they_are() {
    let trials = [scene::many(200), scene::hostile()].concat();
    let text = report::json(&trials).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema_version"], 2);
    let read: Vec<Trial> = serde_json::from_value(document["trials"].clone()).unwrap();
    assert!(read == trials, "what is read back is what was written");
    let outcomes = document["summary"]["outcomes"].as_object().unwrap();
    assert_eq!(outcomes.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), trials.len() as u64);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn junit_is_xml_with_a_suite_per_kernel_and_a_case_per_trial() {
    let trials = [scene::many(1_000), scene::hostile()].concat();
    let text = report::junit(&trials);
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert_eq!(text.chars().find(|c| !allowed(*c)), None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("junit.xml");
    std::fs::write(&file, &text).unwrap();
    let suites = xml::elements(&text);
    let count = |name: &str| suites.iter().filter(|element| element.name == name).count();
    let summary = TrialSummary::of(&trials);
    assert_eq!(count("testcase"), trials.len());
    assert_eq!(count("failure"), summary.agreement.disagree);
    assert_eq!(count("skipped"), summary.agreement.unknown);
    let kernels: BTreeSet<&str> = trials.iter().map(|trial| trial.kernel.name.as_str()).collect();
    assert_eq!(count("testsuite"), kernels.len());
    let mut cases: HashMap<(usize, &str, &str), usize> = HashMap::new();
    let mut suite = 0;
    for element in &suites {
        suite += usize::from(element.name == "testsuite");
        if element.name == "testcase" {
            *cases.entry((suite, element.attributes["classname"], element.attributes["name"])).or_default() += 1;
        }
    }
    assert!(cases.values().all(|times| *times == 1), "no two cases of a suite have one name");
}

/// As much of an XML parser as is needed to check the text.
mod xml {
    use std::collections::HashMap;

    pub(crate) struct Element<'x> {
        pub(crate) name: &'x str,
        pub(crate) attributes: HashMap<&'x str, &'x str>,
    }

    /// The elements in order. Panics if the text is not well-formed.
    pub(crate) fn elements(text: &str) -> Vec<Element<'_>> {
        let text = text.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap();
        let (mut open, mut elements) = (Vec::new(), Vec::new());
        for tag in text.split('<').skip(1) {
            let (tag, after) = tag.split_once('>').unwrap();
            assert_eq!(after.trim(), "", "text between elements");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
                continue;
            }
            let inner = tag.strip_suffix('/');
            let (name, mut rest) = inner.unwrap_or(tag).split_once(' ').unwrap();
            let mut attributes = HashMap::new();
            while let Some((key, value)) = rest.trim_start().split_once("=\"") {
                let (value, after) = value.split_once('"').unwrap();
                assert!(attributes.insert(key, value).is_none(), "an attribute twice");
                for reference in value.split('&').skip(1) {
                    let name = reference.split_once(';').unwrap().0;
                    assert!(["amp", "lt", "gt", "quot", "apos"].contains(&name), "&{name};");
                }
                rest = after;
            }
            assert_eq!(rest.trim(), "");
            if inner.is_none() {
                open.push(name);
            }
            elements.push(Element { name, attributes });
        }
        assert_eq!(open, Vec::<&str>::new());
        elements
    }
}

#[test]
fn records_are_read_back_as_they_were_written() {
    let trials = [scene::story(), scene::hostile()].concat();
    let lines = scene::lines(&trials);
    let read = store::parse(lines.as_bytes()).unwrap();
    assert!(read.trials == trials && !read.is_cut);
    let cut = &lines.as_bytes()[..lines.len() - 40];
    let read = store::parse(cut).unwrap();
    assert!(read.is_cut && read.trials == trials[..trials.len() - 1]);
    // Complete, except for its line feed.
    let whole = store::parse(&lines.as_bytes()[..lines.len() - 1]).unwrap();
    assert!(!whole.is_cut && whole.trials == trials);
}

#[test]
fn no_cut_and_no_damage_makes_it_panic() {
    let line = scene::lines(&scene::hostile()[..1]);
    for end in 0..line.len() {
        let read = store::parse(&line.as_bytes()[..end]).unwrap();
        assert!(read.trials.len() <= 1);
    }
    for place in (0..line.len()).step_by(7) {
        let mut bytes = line.clone().into_bytes();
        bytes[place] ^= 0x15;
        if let Ok(read) = store::parse(&bytes) {
            let _ = (report::page(&read.trials), report::json(&read.trials), report::junit(&read.trials));
        }
    }
}

/// The same trials as recorded by the version before form 2.
#[test]
fn records_of_form_1_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/cli/report/form-1.in/lab");
    let old = store::read(&folder).unwrap().trials;
    let story = scene::story();
    assert_eq!(old.len(), story.len());
    for (old, new) in old.iter().zip(&story) {
        assert_eq!((old.schema_version, &old.id), (2, &new.id));
        assert_eq!((old.load_mode, old.outcome, old.agreement), (new.load_mode, new.outcome, new.agreement));
        assert_eq!((&old.observed.probe, &old.change), (&new.observed.probe, &new.change));
    }
}

/// The recorded sessions of `kmodlab report` use these trials. `TRYCMD=overwrite` writes the file again.
#[test]
fn the_sessions_tell_the_story() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/cli/report/report.in/lab/trials.jsonl");
    let lines = scene::lines(&scene::story());
    if std::env::var_os("TRYCMD").is_some_and(|what| what == "overwrite") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &lines).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap() == lines, "{}", file.display());
}
