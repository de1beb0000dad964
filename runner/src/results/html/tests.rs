//! What the page must have.

use super::page;
use crate::results::document::Results;
use crate::results::fixture::{ID, fails, host, passes, results, suspect};
use crate::results::of_run::document;

/// The texts of all attributes of a name.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let marked = format!(" {name}=\"");
    html.split(&marked).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn a_newcomer_finds_what_fails_where_and_how_to_replay_it() {
    let html = page(&results(), &[]);
    for part in [
        "kvm 6.1",
        "34 of 672 cases fail",
        "behaves as EB.PF = 0 with L1&#39;s MASK and MATCH",
        "<code class=\"difference\">exit0&gt;delivered14</code> in 34 cases",
        &format!("maskmatch replay {ID} --l0 lab --kernel 6.1"),
        "error code &amp; MASK = 0x6 equals MATCH",
        "&quot;Exception Bitmap&quot; (",
        "Known deviation <strong>rf0</strong> of the processor in 7 cases",
        "Skipped: no &quot;SMAP&quot; # here",
        "The group did not finish: the guest powered off before",
    ] {
        let plain = html.replace("&#39;", "'");
        assert!(plain.contains(&part.replace("&#39;", "'")), "{part}\n{html}");
    }
}

#[test]
fn nothing_comes_from_elsewhere_and_every_link_leads_somewhere() {
    let html = page(&results(), &[document(&[host("6.1", "ept=0", passes)])]);
    for part in ["http:", "https:", "<script", "src=", "@import", "url("] {
        assert!(!html.contains(part), "{part}");
    }
    let ids = attributes(&html, "id");
    for link in attributes(&html, "href") {
        let fragment = link.strip_prefix('#').expect("a link within the page");
        assert_eq!(ids.iter().filter(|id| **id == fragment).count(), 1, "{link}");
    }
}

#[test]
fn maps_show_both_values_of_eb_pf_as_wanted_got_and_wrong() {
    let mut results = document(&[host("6.1", "ept=0", fails)]);
    suspect(&mut results.results[0]);
    let html = page(&results, &[]);
    let figures: Vec<&str> = html
        .split("<figcaption>")
        .skip(1)
        .filter_map(|rest| rest.split("</figcaption>").next())
        .collect();
    let of = |what| [0, 1].map(|eb| format!("{what}, EB.PF = {eb}"));
    let wanted = of("wanted by the manual");
    // The other group has too few filters over the basic bits.
    assert_eq!(figures, [wanted, of("got"), of("wrong")].concat());
    // EB.PF taken as 0 is right where it is 0.
    let wrong = |eb| html.split(&format!("aria-label=\"wrong, EB.PF = {eb}: of ")).nth(1).unwrap();
    assert!(wrong(0).split('"').next().unwrap().contains(" 0 have all faults, 0 some, "));
    assert!(!wrong(1).split('"').next().unwrap().contains(" 0 have all faults, 0 some, "));
}

#[test]
fn history_says_what_changed() {
    let [old, new]: [Results; 2] =
        [passes, fails].map(|body| document(&[host("6.1", "ept=0", body)]));
    let html = page(&new, &[old]);
    assert!(html.contains("1 worse") && html.contains("right -&gt; failure"), "{html}");
    assert!(!page(&new, &[]).contains("History"));
}

#[test]
fn what_a_reader_would_obey_is_shown() {
    let mut results = results();
    results.results[0].notes.push("<script>alert(1)</script>\u{202e}".into());
    let html = page(&results, &[]);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}"));
}
