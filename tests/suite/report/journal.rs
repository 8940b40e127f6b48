//! The page of the journal, of an invented week ([`week`]): as text, and as Chromium displays it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::report::browser::Browser;
use crate::report::week::{HOSTILE, Week};

/// The texts of some elements of the page.
fn texts(browser: &mut Browser, selector: &str) -> Vec<String> {
    let texts = browser.value(&format!("[...document.querySelectorAll('{selector}')].map(e => e.textContent)"));
    texts.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_page_is_of_a_period_or_of_a_folder() {
    let week = Week::new();
    let count = |arguments: &[&str]| week.page(arguments).matches("<li class=\"op ").count();
    assert_eq!(count(&["--journal"]), 14);
    assert_eq!(count(&["--journal", "--since", "2026-03-03T00:00:00Z", "--until", "2026-03-05T23:59:59Z"]), 3);
    assert_eq!(count(&["--journal", "modules"]), 12);
    assert_eq!(count(&["--journal", "veth"]), 2);
    assert_eq!(count(&["--journal", "6.12.48-rt-amd64"]), 8);
    assert_eq!(count(&["--journal", "--until", "2001-01-01"]), 0);
    assert!(week.page(&["--journal"]).contains(week.head()), "the head hash of the chain");

    let output = week.run(&["report", "--journal"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, "14 operations of the journal\n  page    journal.html\n");
    let output = week.run(&["report", "--journal", "--junit", "x.xml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_page_says_who_did_what_for_which_kernel_and_what_is_there_now() {
    let page = Week::new().page(&["--journal", "dummy"]);
    for part in [
        "root (sudo of anna) on rig-3",
        "6.12.48-rt-amd64 (/srv/kernels/linux-image-6.12.48-rt-amd64.deb)",
        "<span class=\"chip odd\">signature stripped</span>",
        "<span class=\"chip odd\">CRCs rewritten</span>",
        "<span class=\"chip\">BTF kept</span>",
        "<span class=\"chip bad\">crc</span>",
        "LAB-311: the realtime rig",
        "6.1.0-47-amd64 SMP preempt mod_unload modversions\u{2420}",
        "patched now",
        "Monday, 2 March 2026",
    ] {
        assert!(page.contains(part), "{part} is missing");
    }
    let page = Week::new().page(&["--journal", "ifb"]);
    assert!(page.contains("recovered by") && page.contains("root (sudo of boris) on rig-3"));
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_hostile_journal_is_text() {
    let mut browser = Browser::start();
    let week = Week::new();
    browser.open(&week.page(&["--journal"]));
    let elements = "document.querySelectorAll('script, img, iframe, object, embed, link, form, base, svg').length";
    assert_eq!(browser.number(elements), 0);
    let handlers = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => a.name.startsWith('on')).length";
    assert_eq!(browser.number(handlers), 0);
    let links = "[...document.links].filter(a => !a.getAttribute('href').startsWith('#')).length";
    assert_eq!(browser.number(links), 0);
    assert_eq!(browser.number("document.styleSheets.length"), 1);
    assert_eq!(browser.value("typeof owned"), "undefined");
    let shown = |text: &str| text.replace('\u{202e}', "\\u{202e}").replace('\u{200b}', "\\u{200b}");
    for selector in [".op .title strong", ".op blockquote", ".chip.bad"] {
        let texts: BTreeSet<String> = texts(&mut browser, selector).into_iter().collect();
        for text in HOSTILE.map(shown) {
            assert!(texts.contains(&text), "{text} is missing in {selector}: {texts:?}");
        }
    }
    assert_eq!(browser.complaints, Vec::<Value>::new());
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_week_is_readable_in_light_dark_narrow_and_print() {
    let mut browser = Browser::start();
    let page = Week::new().page(&["--journal"]);
    browser.open(&page);
    browser.shows("light", "screen");
    let light = browser.picture("journal-light.png");
    browser.shows("dark", "screen");
    let dark = browser.picture("journal-dark.png");
    println!("light {light:?}, dark {dark:?}");
    assert!(light.brightness > 0.75 && dark.brightness < 0.3, "light {light:?}, dark {dark:?}");
    assert!(light.colours > 100 && dark.colours > 100, "blank: light {light:?}, dark {dark:?}");
    for scheme in ["light", "dark"] {
        browser.shows(scheme, "screen");
        browser.value("document.querySelector('.day').scrollIntoView()");
        browser.picture(&format!("journal-days-{scheme}.png"));
        browser.value("scrollTo(0, 1e9)");
        browser.picture(&format!("journal-end-{scheme}.png"));
    }
    for width in [1440, 800, 390, 320] {
        browser.size(width, 900);
        browser.shows("light", "screen");
        browser.value("document.querySelectorAll('details').forEach(e => e.open = true)");
        let sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.number(sideways), 0, "a page {width} pixels wide scrolls sideways");
        let wide = "[...document.querySelectorAll('.op, .op *')].filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != 'inline').length";
        assert_eq!(browser.number(wide), 0, "text is cut off in a page {width} pixels wide");
        browser.value("document.querySelectorAll('details').forEach(e => e.open = false)");
        browser.value("document.querySelectorAll('.day')[2].scrollIntoView()");
        browser.picture(&format!("journal-{width}.png"));
    }
    browser.size(794, 1123);
    browser.shows("light", "print");
    browser.value("scrollTo(0, 0)");
    browser.picture("journal-print.png");
    assert_eq!(browser.number("document.documentElement.scrollWidth - document.documentElement.clientWidth"), 0);
    assert_eq!(browser.complaints, Vec::<Value>::new());
}
