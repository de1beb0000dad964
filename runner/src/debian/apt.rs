//! A private root for apt: one suite's package index in a folder of our own, fetched by the
//! machine's own apt.
//!
//! The mirror, proxies and keys are the machine's: `apt-get --print-uris update` says where the
//! machine gets its own suite from (it needs neither root nor the network), and other suites are
//! taken from the same place, by the same keys: see [`trust`]. Nothing outside of the folder
//! changes, so this works without root. On success of [`Apt::open`] the index is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::external::run;
use super::not_put;
use super::trust;
use crate::vmm::Unavailable;

/// How long apt may take for an index, for a package, and for a question.
const UPDATE_LIMIT: Duration = Duration::from_mins(3);
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);
const QUERY_LIMIT: Duration = Duration::from_mins(1);
/// The part of the archive with free software that needs nothing else.
const MAIN: [&str; 1] = ["main"];
/// The same with free software that needs more, such as VirtualBox.
pub const CONTRIB: [&str; 2] = ["main", "contrib"];
/// The file of the entries.
const ENTRIES: &str = "archive.sources";
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
    ("Dir::Etc::sourcelist", "no-sources.list"),
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
    /// Fields of the machine's entry that hold for it, as for whose signatures it is trusted.
    fields: String,
}

impl Source {
    /// Its entry in a file of sources.
    fn entry(&self, parts: &[&str]) -> String {
        let (Self { uri, release, fields }, parts) = (self, parts.join(" "));
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {release}\nComponents: {parts}\nArchitectures: amd64\n{fields}\n"
        )
    }
}

impl Apt {
    /// Fetches the index of `suite` into `folder`; `own` is the machine's own suite. `updates`: if
    /// the machine has an entry for its suite's security or other updates, those of `suite` are
    /// indexed as well.
    ///
    /// # Errors
    /// The machine's apt knows no Debian mirror, or the index cannot be had.
    pub fn open(folder: &Path, suite: &str, own: &str, updates: bool) -> Result<Self, Unavailable> {
        let sources = own_sources()?;
        let main = main_source(&sources, own)?;
        let mut wanted = vec![Source { release: suite.into(), ..main.clone() }];
        if updates && !matches!(suite, "sid" | "unstable") {
            for part in ["-security", "-updates"] {
                let entry = sources
                    .iter()
                    .find(|source| source.release == format!("{}{part}", main.release));
                wanted.extend(
                    entry.map(|source| Source {
                        release: format!("{suite}{part}"),
                        ..source.clone()
                    }),
                );
            }
        }
        let apt = Self { folder: folder.to_path_buf() };
        apt.update(&wanted, &MAIN)?;
        Ok(apt)
    }

    /// Fetches the index of these parts of a suite, without updates.
    ///
    /// # Errors
    /// As [`Apt::open`].
    pub fn of_parts(
        folder: &Path,
        suite: &str,
        own: &str,
        parts: &[&str],
    ) -> Result<Self, Unavailable> {
        let main = main_source(&own_sources()?, own)?;
        let apt = Self { folder: folder.to_path_buf() };
        apt.update(&[Source { release: suite.into(), ..main }], parts)?;
        Ok(apt)
    }

    fn update(&self, wanted: &[Source], parts: &[&str]) -> Result<(), Unavailable> {
        let written = self.lay_out(wanted, parts).map_err(|error| {
            Unavailable::new(
                format!("{} cannot be written: {error}", self.folder.display()),
                "set XDG_CACHE_HOME to a folder that can be written to",
            )
        });
        written?;
        let mut command = self.command("apt-get");
        // Without this, a missing index is only a warning.
        command.args(["--error-on=any", "update"]);
        run(command, UPDATE_LIMIT).map(drop).map_err(|error| {
            // Only for what the archive itself says that it does not have.
            let lacks = |Source { release, .. }: &Source| {
                error.why.contains(&format!("{release} Release' does not have"))
            };
            match wanted.first().filter(|main| lacks(main)) {
                Some(Source { uri, release, .. }) => Unavailable::usage(
                    format!("{uri} has no suite {release}"),
                    "name a suite like bookworm or sid",
                ),
                None => error,
            }
        })
    }

    fn lay_out(&self, wanted: &[Source], parts: &[&str]) -> std::io::Result<()> {
        for folder in ["state/lists/partial", "cache/archives/partial", "etc"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        fs::write(self.folder.join("status"), "")?;
        fs::write(self.folder.join("apt.conf"), self.configuration())?;
        fs::write(
            self.folder.join("etc").join(ENTRIES),
            wanted.iter().map(|source| source.entry(parts)).collect::<String>(),
        )
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
        list.split([',', '|'])
            .filter_map(|entry| entry.split_whitespace().next())
            .map(str::to_string)
            .collect()
    }

    /// A package and all that it depends on, as far as `is_wanted`, and what that depends on.
    ///
    /// # Errors
    /// apt-cache fails.
    pub fn depends_of_all(
        &self,
        package: &str,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<String>, Unavailable> {
        let (mut all, mut next) = (Vec::new(), vec![package.to_string()]);
        while !next.is_empty() {
            let mut command = self.command("apt-cache");
            command.args(["depends", "--important"]).args(&next);
            let named = dependencies(&run(command, QUERY_LIMIT)?);
            all.append(&mut next);
            next =
                named.into_iter().filter(|name| is_wanted(name) && !all.contains(name)).collect();
            next.sort();
            next.dedup();
        }
        Ok(all)
    }

    /// One field of a package's entry in the index.
    pub fn field(&self, package: &str, name: &str) -> Option<String> {
        let mut command = self.command("apt-cache");
        command.args(["show", "--no-all-versions", package]);
        let text = run(command, QUERY_LIMIT).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_string)
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
    pub fn download_with_dependencies(
        &self,
        packages: &[&str],
    ) -> Result<Vec<PathBuf>, Unavailable> {
        let archives = self.folder.join("cache/archives");
        let debs = || -> std::io::Result<Vec<PathBuf>> {
            let files = fs::read_dir(&archives)?.flatten().map(|entry| entry.path());
            Ok(files
                .filter(|file| file.extension().is_some_and(|extension| extension == "deb"))
                .collect())
        };
        // An interrupted run may have left others.
        debs()
            .and_then(|left| left.iter().try_for_each(fs::remove_file))
            .map_err(|error| not_put(&archives, &error))?;
        let mut command = self.command("apt-get");
        // Nothing counts as installed here, so everything is downloaded; the locks would need root.
        command.args([
            "-o",
            "Debug::NoLocking=true",
            "-y",
            "--no-install-recommends",
            "--download-only",
            "install",
        ]);
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
        let folder = |(name, path): (&str, &str)| {
            format!("{name} \"{}\";\n", self.folder.join(path).display())
        };
        FOLDERS.into_iter().map(folder).chain([CONFIGURATION.to_string()]).collect()
    }
}

/// The places that this machine gets packages from.
fn own_sources() -> Result<Vec<Source>, Unavailable> {
    let mut query = Command::new("apt-get");
    query.args(["--print-uris", "update"]);
    let mut sources = sources(&run(query, QUERY_LIMIT)?);
    for source in &mut sources {
        source.fields = trust::fields(&source.uri, &source.release);
    }
    Ok(sources)
}

/// The place of this machine's own suite.
fn main_source(sources: &[Source], own: &str) -> Result<Source, Unavailable> {
    let known =
        |source: &&Source| source.release == own || MOVING_NAMES.contains(&source.release.as_str());
    sources.iter().find(known).cloned().ok_or_else(|| {
        Unavailable::new(
            format!("this machine's apt has no source for Debian {own}"),
            "add a source of Debian's archive to apt's configuration",
        )
    })
}

/// What `--print-uris` says, without repetitions: the places with a component `main`.
fn sources(listing: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in listing.lines() {
        let Some(uri) = line.strip_prefix('\'').and_then(|rest| rest.split('\'').next()) else {
            continue;
        };
        let Some((base, rest)) = uri.split_once("/dists/") else { continue };
        let Some((release, _)) = rest.split_once("/main/binary-") else { continue };
        let source =
            Source { uri: format!("{base}/"), release: release.into(), fields: String::new() };
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

/// The packages in the answers of `apt-cache depends`. Of alternatives the first counts.
fn dependencies(answer: &str) -> Vec<String> {
    let (mut names, mut is_other) = (Vec::new(), false);
    for line in answer.lines().map(str::trim) {
        let Some((kind, name)) = line.split_once(": ") else { continue };
        let is_alternative = std::mem::replace(&mut is_other, kind.starts_with('|'));
        // A name in angle brackets is virtual.
        if !is_alternative && kind.ends_with("Depends") && !name.starts_with('<') {
            names.push(name.to_string());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read() {
        let answer = "virtualbox\n  Depends: iproute2\n |Depends: systemd\n |Depends: other\n  Depends: last\n\
                      \x20 PreDepends: libc6\n  Depends: <virtual>\n    libfoo\n  Conflicts: x\n";
        assert_eq!(dependencies(answer), ["iproute2", "systemd", "libc6"]);
    }

    #[test]
    fn the_listing_yields_places() {
        let listing = "'http://mirror.test/debian/dists/bookworm/InRelease' x 0\n\
             'http://mirror.test/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0\n\
             'http://mirror.test/debian/dists/bookworm/main/binary-all/Packages.xz' x 0\n\
             'https://other.test/dists/bookworm/stable/binary-amd64/Packages.xz' x 0\n";
        let [source] = &sources(listing)[..] else { panic!("one place") };
        let source = Source { fields: "Signed-By: /k.gpg\n".into(), ..source.clone() };
        assert_eq!(
            source.entry(&CONTRIB),
            "Types: deb\nURIs: http://mirror.test/debian/\nSuites: bookworm\nComponents: main contrib\nArchitectures: amd64\n\
             Signed-By: /k.gpg\n\n"
        );
    }
}
