//! Contrast: all text is readable, in light and dark (WCAG 2.2, success criterion 1.4.3: at least 4.5 to 1).

use std::collections::HashMap;

use kmodlab::lab::record::TrialOutcome;
use kmodlab::report;

/// The relative luminance of a colour (WCAG 2.2).
fn luminance(colour: &str) -> f64 {
    let digits = colour.strip_prefix('#').unwrap();
    let digits = if digits.len() == 3 { digits.chars().flat_map(|d| [d, d]).collect() } else { digits.to_owned() };
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn contrast(one: &str, other: &str) -> f64 {
    let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
    one.max(other) / one.min(other)
}

/// The variables of the n-th rule for the root element.
fn variables(style: &str, number: usize) -> HashMap<&str, &str> {
    let rule = style.split(":root {").nth(number + 1).unwrap().split('}').next().unwrap();
    rule.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(": ")).collect()
}

#[test]
fn the_luminances_are_wcags() {
    assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 1e-9);
    assert!((contrast("#777777", "#ffffff") - 4.48).abs() < 0.01);
}

#[test]
fn text_has_enough_contrast() {
    let page = report::page(&[]);
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    for (scheme, number) in [("light", 0), ("dark", 1)] {
        let colours = variables(style, number);
        let mut pairs: Vec<(String, String)> = Vec::new();
        for ground in ["paper", "raised", "code"] {
            for text in ["ink", "faint", "link", "wrong"] {
                pairs.push((text.to_owned(), ground.to_owned()));
            }
        }
        pairs.push(("mark-ink".to_owned(), "mark".to_owned()));
        for outcome in TrialOutcome::ALL {
            let class = outcome.name().replace(' ', "-").to_lowercase();
            pairs.push((format!("{class}-ink"), class));
        }
        for (text, ground) in pairs {
            let contrast = contrast(colours[text.as_str()], colours[ground.as_str()]);
            assert!(contrast >= 4.5, "{scheme}: {text} on {ground} has a contrast of {contrast:.2}");
        }
    }
}
