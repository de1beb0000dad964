//! The page in a browser: headless Chromium, if it is installed.
//!
//! The page itself has no script. The test adds one to a copy of it, which opens all that is closed,
//! measures, and leaves what it found in the document.

use std::process::Command;

use serde_json::Value;

use crate::command::{call, finish};
use crate::files::Folder;

/// Text whose contrast with its ground is below 4.5 (WCAG 2, level AA), whether the page is wider than
/// the window, and what can be reached by keyboard.
const PROBE: &str = r"<script>
addEventListener('load', () => {
  document.querySelectorAll('details').forEach(details => details.open = true);
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return canvas.getImageData(0, 0, 1, 1).data;
  };
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return rgba('white');
  };
  const light = color => {
    const [r, g, b] = [0, 1, 2].map(i => color[i] / 255)
      .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const texts = [...document.querySelectorAll('body *')].filter(element =>
    !['SCRIPT', 'TITLE'].includes(element.tagName.toUpperCase()) &&
    [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
  const faint = texts.filter(element => {
    const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
    return Math.max(a, b) / Math.min(a, b) < 4.5;
  });
  const found = {
    texts: texts.length,
    faint: faint.map(element => element.textContent.slice(0, 80)),
    width: document.documentElement.scrollWidth,
    window: innerWidth,
    ground: [...ground(document.body)].slice(0, 3),
    unreachable: document.querySelectorAll('.scroll:not([tabindex]), a:not([href])').length,
    targets: [...document.links].filter(link => !document.querySelector(
      '#' + CSS.escape(decodeURIComponent(link.hash.slice(1))))).length,
  };
  parent.postMessage(JSON.stringify(found), '*');
});
</script>";

/// The widths of a desk and of a phone. A window cannot be as narrow as that, a frame can.
const WIDTHS: [u32; 2] = [1200, 390];

fn chromium() -> Option<&'static str> {
    let starts = |name: &&&str| Command::new(**name).arg("--version").output().is_ok();
    ["chromium", "chromium-browser", "google-chrome"].iter().find(starts).copied()
}

#[test]
fn the_page_is_sound_in_light_and_dark_on_a_desk_and_on_a_phone() {
    let Some(chromium) = chromium() else {
        eprintln!("not tried: there is no Chromium here (`apt-get install chromium`)");
        return;
    };
    let folder = Folder::new();
    let (log, html) = (folder.path("log"), folder.path("fails.html"));
    call(["run", "--l0", "bochs", "--profile", "quick", "--filter", "*.long", "--log", &log])
        .expect(0);
    // What Bochs is known to do wrong are failures to look at, if this one does it.
    let judged = call(["check", &log, "--no-known", "--html", &html]);
    assert!([0, 1].contains(&judged.code), "{judged:#?}");
    let page = String::from_utf8(folder.read("fails.html")).expect("text");
    folder.write("probed.html", page.replace("</head>", &format!("{PROBE}</head>")));
    for scheme in [0, 1] {
        for width in WIDTHS {
            let frame = format!(
                "<title></title><script>onmessage = e => document.title = e.data</script>\
                 <iframe src=\"probed.html\" width=\"{width}\" height=\"800\"></iframe>"
            );
            let page = folder.write("frame.html", frame);
            let mut command = Command::new(chromium);
            command.args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--dump-dom",
                "--enable-logging=stderr",
                "--virtual-time-budget=5000",
                &format!("--user-data-dir={}", folder.path("profile")),
                &format!("--blink-settings=preferredColorScheme={scheme}"),
                &format!("file://{page}"),
            ]);
            let seen = finish(&mut command).expect(0);
            assert!(!seen.err.contains("CONSOLE"), "{}", seen.err);
            let title =
                seen.out.split("<title>").nth(1).and_then(|rest| rest.split("</title>").next());
            let found: Value =
                serde_json::from_str(title.unwrap_or_default()).expect("the probe ran");
            let at = format!("scheme {scheme}, width {width}: {found:#}");
            assert!(found["texts"].as_u64() > Some(100), "{at}");
            assert_eq!(found["faint"].as_array().map(Vec::len), Some(0), "{at}");
            assert_eq!((&found["unreachable"], &found["targets"]), (&0.into(), &0.into()), "{at}");
            assert!(found["width"].as_u64() <= found["window"].as_u64(), "{at}");
            // The page follows the scheme.
            let is_light = found["ground"][0].as_u64() > Some(128);
            assert_eq!(is_light, scheme == 1, "{at}");
        }
    }
}
