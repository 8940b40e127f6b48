//! Chromium opens the output of `report` as a person would, and reports what it displays.
//!
//! Each test starts its own browser, with a temporary profile, and uses the DevTools protocol over two pipes. The screenshots
//! are kept in `target/report` for inspection.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kmodlab::lab::record::{Agreement, TrialOutcome};
use kmodlab::report;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::report::scene;

use crate::support::alone;

/// The most time that the page's thread may take of a processor, from the start of the navigation to the end of the load event: on a
/// machine with nothing else to do, the page is open after that time.
const MOST: Duration = Duration::from_secs(2);

/// A browser with one open tab.
pub(super) struct Browser {
    _alone: std::sync::MutexGuard<'static, ()>,
    process: Child,
    requests: File,
    answers: BufReader<File>,
    folder: TempDir,
    session: Option<String>,
    sent: u64,
    /// Reports that were not requested: errors, blocked content, messages.
    pub(super) complaints: Vec<Value>,
    /// Has the page's load event been reported since the last navigation?
    is_loaded: bool,
}

impl Browser {
    pub(super) fn start() -> Browser {
        let alone = alone();
        let folder = tempfile::tempdir().unwrap();
        let pipes = ["requests", "answers"].map(|name| folder.path().join(name));
        assert!(Command::new("mkfifo").args(&pipes).status().unwrap().success());
        // The browser reads requests from descriptor 3 and writes its answers to 4.
        let script = "exec chromium \"$@\" 3<\"$REQUESTS\" 4>\"$ANSWERS\"";
        let process = Command::new("sh")
            .args(["-c", script, "sh", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .args(["--remote-debugging-pipe", "about:blank"])
            .env("REQUESTS", &pipes[0])
            .env("ANSWERS", &pipes[1])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let requests = fs::OpenOptions::new().write(true).open(&pipes[0]).unwrap();
        let answers = BufReader::new(File::open(&pipes[1]).unwrap());
        let (session, complaints) = (None, Vec::new());
        let mut browser = Browser {
            _alone: alone,
            process,
            requests,
            answers,
            folder,
            session,
            sent: 0,
            complaints,
            is_loaded: false,
        };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network", "Audits"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser.size(1440, 1000);
        browser
    }

    /// Sends a request and waits for the answer.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut request = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).unwrap();
        loop {
            let message = self.next();
            if message["id"] == self.sent {
                assert_eq!(message["error"], Value::Null, "{method}");
                return message["result"].clone();
            }
        }
    }

    /// Reads the next message; complaints of the browser are kept.
    fn next(&mut self) -> Value {
        let mut bytes = Vec::new();
        self.answers.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "Chromium is gone: is it installed?");
        let message: Value = serde_json::from_slice(&bytes).unwrap();
        match message["method"].as_str().unwrap_or_default() {
            "Page.loadEventFired" => self.is_loaded = true,
            "Log.entryAdded"
            | "Runtime.exceptionThrown"
            | "Runtime.consoleAPICalled"
            | "Audits.issueAdded"
            | "Page.javascriptDialogOpening" => self.complaints.push(message["params"].clone()),
            "Network.requestWillBeSent" => {
                let url = message["params"]["request"]["url"].as_str().unwrap().to_owned();
                if !url.starts_with("file:///") || !url.contains(".html") {
                    self.complaints.push(json!({"requested": url}));
                }
            }
            _ => {}
        }
        message
    }

    /// Opens a page and waits for its load event. Returns the load time as measured by the browser itself.
    pub(super) fn open(&mut self, page: &str) -> Duration {
        let file = self.folder.path().join(format!("{}.html", self.sent));
        fs::write(&file, page).unwrap();
        self.is_loaded = false;
        let began = Instant::now();
        let answer = self.ask("Page.navigate", json!({"url": format!("file://{}", file.display())}));
        assert_eq!(answer["errorText"], Value::Null);
        while !self.is_loaded {
            assert!(began.elapsed() < Duration::from_secs(60), "the page does not load");
            self.next();
        }
        let timing = "performance.getEntriesByType('navigation')[0].loadEventEnd";
        Duration::from_secs_f64(self.value(timing).as_f64().unwrap() / 1000.0)
    }

    /// The time in seconds that the page's thread has taken of a processor.
    fn busy(&mut self) -> f64 {
        let metrics = self.ask("Performance.getMetrics", json!({}));
        let metric = metrics["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == "TaskDuration");
        metric.unwrap()["value"].as_f64().unwrap()
    }

    /// Evaluates an expression in the page. The page itself may not run scripts; the protocol may.
    pub(super) fn value(&mut self, expression: &str) -> Value {
        let answer = self.ask("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    pub(super) fn number(&mut self, expression: &str) -> u64 {
        self.value(expression).as_f64().unwrap_or_else(|| panic!("{expression}")) as u64
    }

    pub(super) fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Sets light or dark colours, and screen or print media.
    pub(super) fn shows(&mut self, scheme: &str, media: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", json!({"media": media, "features": features}));
    }

    /// Takes a screenshot of the visible part, and keeps it.
    pub(super) fn picture(&mut self, name: &str) -> Picture {
        let answer = self.ask("Page.captureScreenshot", json!({"format": "png"}));
        let png = base64(answer["data"].as_str().unwrap());
        fs::write(kept(name), &png).unwrap();
        Picture::read(&png)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.requests.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.process.wait();
    }
}

/// The path at which a screenshot is kept.
fn kept(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/report");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// RFC 4648.
fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => panic!("no base64"),
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// The measurable properties of a screenshot.
#[derive(Debug)]
pub(super) struct Picture {
    /// From 0, black, to 1, white.
    pub(super) brightness: f64,
    /// The number of different colours in it.
    pub(super) colours: usize,
}

impl Picture {
    /// Reads an RGB or RGBA picture of 8 bits a channel, as Chromium writes them (PNG, third edition).
    fn read(png: &[u8]) -> Picture {
        let (mut at, mut packed, mut header) = (8, Vec::new(), Vec::new());
        while at < png.len() {
            let size = u32::from_be_bytes(png[at..at + 4].try_into().unwrap()) as usize;
            let content = &png[at + 8..at + 8 + size];
            match &png[at + 4..at + 8] {
                b"IHDR" => header = content.to_vec(),
                b"IDAT" => packed.extend_from_slice(content),
                _ => {}
            }
            at += 12 + size;
        }
        assert_eq!(header[8], 8);
        let depth = match header[9] {
            2 => 3,
            6 => 4,
            kind => panic!("a PNG of kind {kind}"),
        };
        let width = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize * depth;
        let mut raw = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(packed.as_slice()), &mut raw).unwrap();
        let (mut above, mut bytes) = (vec![0_u8; width], Vec::with_capacity(raw.len()));
        for row in raw.chunks_exact(width + 1) {
            let mut line: Vec<u8> = Vec::with_capacity(width);
            for (place, byte) in row[1..].iter().enumerate() {
                let left = place.checked_sub(depth).map_or(0, |before| line[before]);
                let corner = place.checked_sub(depth).map_or(0, |before| above[before]);
                let up = above[place];
                let guess = match row[0] {
                    0 => 0,
                    1 => left,
                    2 => up,
                    3 => ((u16::from(left) + u16::from(up)) / 2) as u8,
                    _ => {
                        let (a, b, c) = (i16::from(left), i16::from(up), i16::from(corner));
                        let p = a + b - c;
                        let (pa, pb, pc) = ((p - a).abs(), (p - b).abs(), (p - c).abs());
                        if pa <= pb && pa <= pc {
                            left
                        } else if pb <= pc {
                            up
                        } else {
                            corner
                        }
                    }
                };
                line.push(byte.wrapping_add(guess));
            }
            bytes.extend_from_slice(&line);
            above = line;
        }
        let pixels = || bytes.chunks_exact(depth).map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        let colours: std::collections::HashSet<[u8; 3]> = pixels().collect();
        let sum: f64 = pixels().flatten().map(f64::from).sum();
        Picture { brightness: sum / (pixels().count() as f64 * 3.0 * 255.0), colours: colours.len() }
    }
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_page_of_thousands_of_trials_takes_less_than_two_seconds_of_a_processor() {
    let mut browser = Browser::start();
    for (what, trials) in [
        ("1,000 trials", scene::many(1_000)),
        ("2,400 trials", scene::many(2_400)),
        ("2,400 trials of talkative kernels", scene::talkative(2_400)),
    ] {
        let page = report::page(&trials);
        // Other activity of the machine makes a load slower, but does not add to the time that its thread takes.
        browser.ask("Performance.enable", json!({"timeDomain": "threadTicks"}));
        let mut open = || {
            let before = browser.busy();
            let opened = browser.open(&page);
            let busy = browser.busy();
            (Duration::from_secs_f64(if busy < before { busy } else { busy - before }), opened)
        };
        let mut times: Vec<(Duration, Duration)> = (0..5).map(|_| open()).collect();
        times.sort();
        let painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1";
        let painted = browser.number(painted);
        let size = page.len() >> 10;
        println!("{what}, {size} KiB: thread busy, and loaded after: {times:?}; first painted after {painted} ms");
        let median = times[times.len() / 2].0;
        assert!(median > Duration::from_millis(20), "{what}: the time is not measured: {times:?}");
        assert!(median < MOST, "{what} take {times:?}");
        assert_eq!(browser.number("document.querySelectorAll('.map a.b').length"), trials.len() as u64);
    }
    assert_eq!(browser.complaints, Vec::<Value>::new());
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_click_on_a_box_shows_its_trial() {
    let mut browser = Browser::start();
    browser.open(&report::page(&scene::story()));
    let shown = "[...document.querySelectorAll('article')].filter(a => getComputedStyle(a).display != 'none').length";
    assert_eq!(browser.number(shown), 0);
    let crash = "document.querySelector('.map a.b.crash')";
    browser.value(&format!("{crash}.scrollIntoView()"));
    let place = browser.value(&format!("(({{x, y}}) => [x + 5, y + 5])({crash}.getBoundingClientRect())"));
    for kind in ["mousePressed", "mouseReleased"] {
        let at = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1});
        browser.ask("Input.dispatchMouseEvent", at);
    }
    let heading = browser.value("document.querySelector('article:target h3').firstChild.textContent");
    assert_eq!(heading, "veth");
    assert_eq!(browser.number(shown), 1);
    // To the next trial, and back again; then close, which leads to the box from which it was opened.
    for (link, name) in [("nav a:nth-of-type(2)", "vxlan"), ("nav a:nth-of-type(1)", "veth")] {
        browser.value(&format!("document.querySelector('article:target {link}').click()"));
        let heading = browser.value("document.querySelector('article:target h3').firstChild.textContent");
        assert_eq!(heading, name);
    }
    browser.value("document.querySelector('article:target nav .x').click()");
    assert_eq!(browser.number(shown), 0);
    assert_eq!(browser.value("document.querySelector(':target').className.startsWith('b ')"), true);
    assert_eq!(browser.complaints, Vec::<Value>::new());
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn an_outcome_chosen_in_the_legend_dims_the_others() {
    let mut browser = Browser::start();
    let trials = scene::many(200);
    browser.open(&report::page(&trials));
    let clear = "[...document.querySelectorAll('.map .b')].filter(b => getComputedStyle(b).opacity == 1).length";
    assert_eq!(browser.number(clear), 200);
    for outcome in TrialOutcome::ALL {
        let class = outcome.name().replace(' ', "-").to_lowercase();
        let with = trials.iter().filter(|trial| trial.outcome == outcome).count();
        browser.value(&format!("document.querySelector('#f-{class}').click()"));
        // An outcome without trials can't be selected.
        if with > 0 {
            assert_eq!(browser.number(clear), with as u64, "{class}");
        }
    }
    browser.value("document.querySelector('#f-wrong').click()");
    let wrong = trials.iter().filter(|trial| trial.agreement == Agreement::Disagree).count();
    assert_eq!(browser.number(clear), wrong as u64);
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_hostile_page_runs_nothing_and_asks_for_nothing() {
    let mut browser = Browser::start();
    let trials = [scene::story(), scene::hostile()].concat();
    browser.open(&report::page(&trials));
    let elements = "document.querySelectorAll('script, img, iframe, object, embed, link, form, base, svg').length";
    assert_eq!(browser.number(elements), 0);
    let handlers = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => a.name.startsWith('on')).length";
    assert_eq!(browser.number(handlers), 0);
    let links = "[...document.links].filter(a => !a.getAttribute('href').startsWith('#')).length";
    assert_eq!(browser.number(links), 0);
    assert_eq!(browser.value("typeof owned"), "undefined");
    assert_eq!(browser.number("document.styleSheets.length"), 1);
    let names = browser
        .value("[...document.querySelectorAll('.map tbody th[scope=row]')].map(th => th.firstChild.textContent)");
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for name in [scene::HOSTILE[0], scene::HOSTILE[1], "(no name)", "gnp.\\u{202e}ok.evil", "a\\x00b\\u{200b}c"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
    assert_eq!(browser.complaints, Vec::<Value>::new());
    // The policy holds even if hostile content were not escaped; and this also shows that the test would see a complaint.
    browser.value("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.owned=1\">')");
    browser.value("1");
    assert_eq!(browser.value("typeof owned"), "undefined");
    assert_ne!(browser.complaints, Vec::<Value>::new());
    browser.picture("hostile.png");
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_page_is_readable_in_light_and_dark() {
    let mut browser = Browser::start();
    browser.open(&report::page(&scene::many(1_000)));
    browser.shows("light", "screen");
    let light = browser.picture("light.png");
    browser.shows("dark", "screen");
    let dark = browser.picture("dark.png");
    println!("light {light:?}, dark {dark:?}");
    assert!(light.brightness > 0.75 && dark.brightness < 0.3, "light {light:?}, dark {dark:?}");
    assert!(light.colours > 200 && dark.colours > 200, "blank: light {light:?}, dark {dark:?}");
    for scheme in ["light", "dark"] {
        browser.shows(scheme, "screen");
        browser.value("document.querySelector('.map').scrollIntoView()");
        browser.picture(&format!("map-{scheme}.png"));
        browser.value("scrollTo(0, 0)");
    }
    browser.open(&report::page(&scene::story()));
    for name in ["dummy", "veth", "ifb", "tun", "nlmon"] {
        let open = "[...document.querySelectorAll('.map tr')].find(tr => tr.querySelector('th')?.textContent == NAME)";
        browser.value(&format!("{}.querySelector('a.b').click()", open.replace("NAME", &format!("'{name}'"))));
        browser.shows("light", "screen");
        let light = browser.picture(&format!("{name}-light.png"));
        browser.shows("dark", "screen");
        let dark = browser.picture(&format!("{name}-dark.png"));
        assert!(light.brightness > dark.brightness + 0.4);
    }
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_phone_shows_it_without_scrolling_sideways() {
    let mut browser = Browser::start();
    browser.size(390, 844);
    browser.open(&report::page(&scene::many(1_000)));
    browser.shows("light", "screen");
    assert_eq!(browser.number("document.documentElement.scrollWidth"), 390, "only the map itself scrolls sideways");
    browser.picture("phone.png");
    browser.value("document.querySelector('.map').scrollIntoView()");
    browser.picture("phone-map.png");
    browser.value("document.querySelector('.map a.b.crash').click()");
    let width = browser.number("document.querySelector('article:target').getBoundingClientRect().width");
    assert_eq!(width, 390);
    assert!(browser.number("document.querySelector('article:target').scrollWidth") <= 390);
    browser.picture("phone-trial.png");
}

#[test]
#[ignore = "needs chromium: tests/run runs it"]
fn a_printed_page_has_the_map_the_legend_and_the_failures() {
    let mut browser = Browser::start();
    browser.open(&report::page(&scene::many(400)));
    browser.shows("light", "print");
    let shown = "[...document.querySelectorAll('article')].filter(a => getComputedStyle(a).display != 'none')";
    let wrong = browser.number("document.querySelectorAll('.map .b.d, .map .b.crash, .map .b.hang').length");
    assert!(wrong > 10);
    assert_eq!(browser.number(&format!("{shown}.length")), wrong);
    assert_eq!(browser.number(&format!("{shown}.filter(a => a.classList.contains('p')).length")), wrong);
    for part in ["#legend", ".map table", "h1"] {
        assert!(browser.number(&format!("document.querySelector('{part}').getBoundingClientRect().height")) > 0);
    }
    browser.open(&report::page(&scene::story()));
    let pdf = browser.ask("Page.printToPDF", json!({"printBackground": false, "preferCSSPageSize": true}));
    let pdf = base64(pdf["data"].as_str().unwrap());
    assert!(pdf.starts_with(b"%PDF-"));
    fs::write(kept("story.pdf"), pdf).unwrap();
    browser.open(&report::page(&scene::many(1_000)));
    let pdf = browser
        .ask("Page.printToPDF", json!({"printBackground": true, "preferCSSPageSize": true, "pageRanges": "1-8"}));
    fs::write(kept("many.pdf"), base64(pdf["data"].as_str().unwrap())).unwrap();
}
