//! The ways in which a serial line gets into a file.

use std::io::Write;

/// Makes the bytes of a capture of what came down the serial line.
pub type Way = fn(&str) -> Vec<u8>;

/// Every way, by its name.
pub const WAYS: [(&str, Way); 36] = [
    ("as it came", |log| log.into()),
    ("CR LF", |log| log.replace('\n', "\r\n").into()),
    ("CR CR LF", |log| log.replace('\n', "\r\r\n").into()),
    ("LF CR", |log| log.replace('\n', "\n\r").into()),
    ("firmware before", |log| {
        format!("SeaBIOS (version 1.16.2)\r\n\r\nBooting from ROM..\r\n{log}").into()
    }),
    ("firmware on the first line", |log| {
        format!("\x1bc\x1b[2JSeaBIOS\r\nBooting from ROM..{}", log.trim_start()).into()
    }),
    ("a long line before", |log| {
        format!("\x1b[01;01H{}{log}", "   Booting in 5s.\r".repeat(1000)).into()
    }),
    ("a boot loader without a line feed", |log| {
        format!("{}{}", "GRUB ".repeat(2000), log.trim_start()).into()
    }),
    ("a shell around it", |log| format!("root@host:~# cat log\n{log}root@host:~# exit\n").into()),
    ("blanks at the ends", |log| each(log, |_, line| format!("{line:<160}"))),
    ("kernel stamps", |log| {
        each(log, |at, line| format!("[{:5}.{:06}] {line}", at * 37, at * 1009 % 1_000_000))
    }),
    ("kernel stamps with callers", |log| {
        each(log, |at, line| format!("[    0.{at:06}][{:>5}] {line}", caller(at)))
    }),
    ("ts", |log| {
        each(log, |at, line| format!("Nov {:2} 22:35:{:02} {line}", 9 + at / 60, at % 60))
    }),
    ("ISO time", |log| each(log, |at, line| format!("2026-11-29T22:35:28{} {line}", fraction(at)))),
    ("ISO time with a zone", |log| {
        each(log, |at, line| format!("2026-11-29T22:35:{:02}+00:00 {line}", at % 60))
    }),
    ("minicom", |log| {
        each(log, |at, line| format!("[2026-11-29 22:35:{:02}.{at:03}] {line}\r", at % 60))
    }),
    ("journal", |log| {
        each(log, |at, line| {
            format!("Nov 29 22:{:02}:28 host qemu[{}]: {line}", at % 60, 99 + at / 9)
        })
    }),
    ("syslog", |log| {
        each(log, |at, line| format!("<{}>Nov 29 22:35:28 host kernel: {line}", 4 + at % 3))
    }),
    ("LAVA", |log| each(log, |at, line| format!("{at:06}  2026-11-29 22:35:28,{at:03} - {line}"))),
    ("LAVA's YAML", |log| {
        each(log, |_, line| format!("- {{\"dt\": \"2026-11-29\", \"msg\": \"{line}\"}}"))
    }),
    ("Xen", |log| each(log, |_, line| format!("(d1) {line}"))),
    ("Xen's console", |log| {
        each(log, |_, line| {
            let pieces: Vec<_> = line.as_bytes().chunks(199).map(String::from_utf8_lossy).collect();
            // After a full piece comes another, if only an empty one.
            let more = if line.len() % 199 == 0 && !line.is_empty() { "\n(d1) " } else { "" };
            format!("(d1) {}{more}", pieces.join("\n(d1) "))
        })
    }),
    ("Xen with a time", |log| {
        each(log, |at, line| format!("(XEN) [2026-11-29 22:35:{:02}] (d1) {line}", at % 60))
    }),
    ("a quote", |log| each(log, |_, line| format!("> {line}"))),
    ("indented", |log| each(log, |_, line| format!("    {line}"))),
    ("coloured stamps", |log| {
        each(log, |at, line| format!("\x1b[32m[{at:9}.0]\x1b[0m {line}\x1b[K"))
    }),
    ("colours in the text", |log| {
        each(log, |_, line| line.replacen(' ', " \x1b[1m", 1) + "\x1b[0m")
    }),
    ("flow control", |log| each(log, |_, line| line.replacen(' ', "\x13\x11 ", 1))),
    ("byte-order mark", |log| format!("\u{feff}{log}").into()),
    ("UTF-16, little end first", |log| utf16(log, u16::to_le_bytes)),
    ("UTF-16, big end first", |log| utf16(log, u16::to_be_bytes)),
    ("NULs before", |log| [&[0; 700], log.as_bytes()].concat()),
    ("gzip", |log| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(log.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }),
    ("xz", |log| {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(log.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }),
    ("zstd", |log| zstd::stream::encode_all(log.as_bytes(), 1).unwrap()),
    ("no line feed at the end", |log| log.trim_end().into()),
];

/// Changes each line, which has a number.
fn each(log: &str, change: impl Fn(usize, &str) -> String) -> Vec<u8> {
    log.lines().enumerate().flat_map(|(at, line)| (change(at, line) + "\n").into_bytes()).collect()
}

fn caller(at: usize) -> String {
    if at.is_multiple_of(2) { format!("T{at}") } else { format!("C{at}") }
}

/// Some programs leave out a fraction that is 0.
fn fraction(at: usize) -> String {
    if at.is_multiple_of(3) { String::new() } else { format!(".{at:06}") }
}

fn utf16(log: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    "\u{feff}".encode_utf16().chain(log.encode_utf16()).flat_map(bytes).collect()
}
