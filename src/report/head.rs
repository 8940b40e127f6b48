//! The head of every page: its title, the policy that forbids everything but its own style, and the style sheets.

use std::fmt::Display;

use maud::{Markup, PreEscaped, html};

/// This project's own style sheet, embedded in each page.
const STYLE: &str = include_str!("style.css");

/// The page's own style only: no script, no image, no font, no form, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The head of a page with this title, and with a style of its own after the common one.
pub(super) fn head(title: impl Display, style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="referrer" content="no-referrer";
            title { "kmodlab: " (title) }
            style { (PreEscaped(STYLE)) (PreEscaped(style)) }
        }
    }
}
