//! A private root for apt: one suite's package index in a folder of our own, fetched by the
//! machine's own apt.
//!
//! The mirror, proxies and keys are the machine's: `apt-get --print-uris update` says where the
//! machine gets its own suite from (it needs neither root nor the network), and other suites are
//! taken from the same place. Nothing outside of the folder changes, so this works without root. On
//! success of [`Apt::open`] the index is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::external::run;
use super::not_put;
use crate::vmm::Unavailable;

/// How long apt may take for an index, for a package, and for a question.
const UPDATE_LIMIT: Duration = Duration::from_mins(3);
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);
const QUERY_LIMIT: Duration = Duration::from_mins(1);
/// Debian's keys, those of older and newer suites included; from the package
/// debian-archive-keyring.
const ARCHIVE_KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Names of Debian's suites other than their code names.
const MOVING_NAMES: &[&str] = &["oldstable", "stable", "testing", "unstable", "sid"];
/// Hooks and indexes that the machine may have configured and that a private root has no use for.
const CONFIGURATION: &str = r#"#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::Translations::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::Languages "none";
Acquire::Retries "2";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
// As root, apt would drop to a user that cannot write to a private folder.
APT::Sandbox::User "root";
"#;
/// Where apt finds what is its own, below the private root.
const FOLDERS: [(&str, &str); 8] = [
    ("Dir::State", "state"),
    ("Dir::State::lists", "state/lists"),
    ("Dir::State::status", "status"),
    ("Dir::Cache", "cache"),
    ("Dir::Etc::sourcelist", "sources.list"),
    ("Dir::Etc::sourceparts", "etc"),
    ("Dir::Etc::preferences", "etc/preferences"),
    ("Dir::Etc::preferencesparts", "etc"),
];

/// Apt with one suite.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
}

/// A place the machine gets packages from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    uri: String,
    release: String,
}

impl Apt {
    /// Fetches the index of `suite` into `folder`; `own` is the machine's own suite. `updates`: if
    /// the machine has an entry for its suite's security or other updates, those of `suite` are
    /// indexed as well.
    ///
    /// # Errors
    /// The machine's apt knows no Debian mirror, or the index cannot be had.
    pub fn open(folder: &Path, suite: &str, own: &str, updates: bool) -> Result<Self, Unavailable> {
        let mut query = Command::new("apt-get");
        query.args(["--print-uris", "update"]);
        let sources = sources(&run(query, QUERY_LIMIT)?);
        let known = |source: &&Source| source.release == own || MOVING_NAMES.contains(&source.release.as_str());
        let main = sources.iter().find(known).ok_or_else(|| Unavailable {
            why: format!("this machine's apt has no source for Debian {own}"),
            mend: "add a source of Debian's archive to apt's configuration".into(),
        })?;
        let mut wanted = vec![Source { release: suite.into(), ..main.clone() }];
        if updates && !matches!(suite, "sid" | "unstable") {
            for part in ["-security", "-updates"] {
                let entry = sources.iter().find(|source| source.release == format!("{}{part}", main.release));
                wanted.extend(entry.map(|source| Source { release: format!("{suite}{part}"), ..source.clone() }));
            }
        }
        let apt = Self { folder: folder.to_path_buf() };
        apt.update(&wanted)?;
        Ok(apt)
    }

    fn update(&self, wanted: &[Source]) -> Result<(), Unavailable> {
        let written = self.lay_out(wanted).map_err(|error| Unavailable {
            why: format!("{} cannot be written: {error}", self.folder.display()),
            mend: "set XDG_CACHE_HOME to a folder that can be written to".into(),
        });
        written?;
        let mut command = self.command("apt-get");
        // Without this, a missing index is only a warning.
        command.args(["--error-on=any", "update"]);
        run(command, UPDATE_LIMIT).map(drop)
    }

    fn lay_out(&self, wanted: &[Source]) -> std::io::Result<()> {
        for folder in ["state/lists/partial", "cache/archives/partial", "etc"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        fs::write(self.folder.join("status"), "")?;
        fs::write(self.folder.join("apt.conf"), self.configuration())?;
        let lines = wanted.iter().map(|Source { uri, release }| {
            let keys = keyrings(uri).join(",");
            let signed = if keys.is_empty() { String::new() } else { format!(" signed-by={keys}") };
            format!("deb [arch=amd64{signed}] {uri} {release} main\n")
        });
        fs::write(self.folder.join("sources.list"), lines.collect::<String>())
    }

    /// Names of the packages that start with `prefix`.
    ///
    /// # Errors
    /// apt-cache fails.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, Unavailable> {
        let mut command = self.command("apt-cache");
        command.args(["pkgnames", prefix]);
        Ok(run(command, QUERY_LIMIT)?.lines().map(str::to_string).collect())
    }

    /// The names in a package's `Depends`; empty if there is no such package.
    pub fn depends(&self, package: &str) -> Vec<String> {
        let list = self.field(package, "Depends").unwrap_or_default();
        list.split([',', '|']).filter_map(|entry| entry.split_whitespace().next()).map(str::to_string).collect()
    }

    /// One field of a package's entry in the index.
    pub fn field(&self, package: &str, name: &str) -> Option<String> {
        let mut command = self.command("apt-cache");
        command.args(["show", "--no-all-versions", package]);
        let text = run(command, QUERY_LIMIT).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_string)
    }

    /// Downloads packages into `folder`.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn download(&self, packages: &[String], folder: &Path) -> Result<(), Unavailable> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(folder);
        run(command, DOWNLOAD_LIMIT).map(drop)
    }

    /// Downloads packages and all that they depend on, without recommendations. The caller removes
    /// the files.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn download_with_dependencies(&self, packages: &[&str]) -> Result<Vec<PathBuf>, Unavailable> {
        let archives = self.folder.join("cache/archives");
        let debs = || -> std::io::Result<Vec<PathBuf>> {
            let files = fs::read_dir(&archives)?.flatten().map(|entry| entry.path());
            Ok(files.filter(|file| file.extension().is_some_and(|extension| extension == "deb")).collect())
        };
        // An interrupted run may have left others.
        debs()
            .and_then(|left| left.iter().try_for_each(fs::remove_file))
            .map_err(|error| not_put(&archives, &error))?;
        let mut command = self.command("apt-get");
        // Nothing counts as installed here, so everything is downloaded; the locks would need root.
        command.args(["-o", "Debug::NoLocking=true", "-y", "--no-install-recommends", "--download-only", "install"]);
        command.args(packages);
        run(command, DOWNLOAD_LIMIT)?;
        debs().map_err(|error| not_put(&archives, &error))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C.UTF-8").arg("-qq").arg("-c").arg(self.folder.join("apt.conf"));
        command
    }

    /// All of the configuration, so that `apt-get -c FILE` works here for others as well.
    fn configuration(&self) -> String {
        let folder = |(name, path): (&str, &str)| format!("{name} \"{}\";\n", self.folder.join(path).display());
        FOLDERS.into_iter().map(folder).chain([CONFIGURATION.to_string()]).collect()
    }
}

/// What `--print-uris` says, without repetitions: the places with a component `main`.
fn sources(listing: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in listing.lines() {
        let Some(uri) = line.strip_prefix('\'').and_then(|rest| rest.split('\'').next()) else { continue };
        let Some((base, rest)) = uri.split_once("/dists/") else { continue };
        let Some((release, _)) = rest.split_once("/main/binary-") else { continue };
        let source = Source { uri: format!("{base}/"), release: release.into() };
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

/// The key files for a source: Debian's own, and those that the machine names beside this URI.
fn keyrings(uri: &str) -> Vec<String> {
    let listed = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let files = listed.chain([PathBuf::from("/etc/apt/sources.list")]);
    let texts = files.filter_map(|file| fs::read_to_string(file).ok());
    let with_uri = texts.filter(|text| text.contains(uri.trim_end_matches('/')));
    let mut keys: Vec<String> =
        with_uri.flat_map(|text| signed_by(&text)).chain([ARCHIVE_KEYRING.to_string()]).collect();
    keys.retain(|key| Path::new(key).is_file());
    keys.sort();
    keys.dedup();
    keys
}

/// The key files in a sources file of either format.
fn signed_by(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let places = lower.match_indices("signed-by").map(|(at, word)| &text[at + word.len()..]);
    let values = places.filter_map(|rest| rest.trim_start_matches([':', '=', ' ']).split([' ', '\n', ']', ',']).next());
    values.filter(|value| value.starts_with('/')).map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_yields_places() {
        let listing = "'http://mirror.test/debian/dists/bookworm/InRelease' x 0\n\
             'http://mirror.test/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0\n\
             'http://mirror.test/debian/dists/bookworm/main/binary-all/Packages.xz' x 0\n\
             'https://other.test/dists/bookworm/stable/binary-amd64/Packages.xz' x 0\n";
        let want = Source { uri: "http://mirror.test/debian/".into(), release: "bookworm".into() };
        assert_eq!(sources(listing), [want]);
    }

    #[test]
    fn key_files_are_found_in_both_formats() {
        assert_eq!(signed_by("Signed-By: /a/k.gpg\n"), ["/a/k.gpg"]);
        assert_eq!(signed_by("deb [arch=amd64 signed-by=/b/k.gpg] http://x y main"), ["/b/k.gpg"]);
        assert!(signed_by("Signed-By:\n -----BEGIN PGP").is_empty());
    }
}
