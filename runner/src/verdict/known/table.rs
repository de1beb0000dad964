//! The tables: those in `runner/known`, and a user's own.
//!
//! A file may begin with `of = "processor"`: its rows are faults of the emulated processor, not of
//! the host. Each `[[row]]` after that is one deviation, as [`super::row`] says.

use serde::Deserialize;
use toml::Value;

use super::asks::Asks;
use super::cover::Known;
use super::row::{Party, Row};
use crate::verdict::subject::Subject;

/// The tables that are built in.
const BUILT_IN: [(&str, &str); 4] = [
    ("runner/known/bochs.toml", include_str!("../../../known/bochs.toml")),
    ("runner/known/kvm.toml", include_str!("../../../known/kvm.toml")),
    ("runner/known/virtualbox.toml", include_str!("../../../known/virtualbox.toml")),
    ("runner/known/xen.toml", include_str!("../../../known/xen.toml")),
];

/// All rows, in their order.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    rows: Vec<Row>,
}

impl Tables {
    /// The tables that are built in.
    pub fn built_in() -> Self {
        let mut tables = Self::none();
        for (path, text) in BUILT_IN {
            // A test reads them.
            tables.add(path, text).unwrap_or_else(|why| unreachable!("{why}"));
        }
        tables
    }

    /// No row at all.
    pub const fn none() -> Self {
        Self { rows: Vec::new() }
    }

    /// One row and no other.
    #[cfg(test)]
    pub fn only(row: Row) -> Self {
        Self { rows: vec![row] }
    }

    /// Adds the rows of a user's file.
    ///
    /// # Errors
    /// A sentence that names file, row and key.
    pub fn add_file(&mut self, path: &str, text: &str) -> Result<(), String> {
        let before = self.rows.len();
        self.add(path, text)?;
        for row in &self.rows[before..] {
            if let Some(cases) = row.globs().find(|cases| !cases.exist()) {
                return Err(format!("{path}: row {}: '{cases}' matches no case", row.name));
            }
            if let Some(why) = row.exclude.iter().find_map(|cases| cases.can_be_excluded().err()) {
                return Err(format!("{path}: row {}: key exclude: {why}", row.name));
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: &str) -> Result<(), String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map_or(0, |span| text[..span.start].lines().count().max(1));
            format!("{path}: line {line}: {}", error.message())
        })?;
        let mut of = Party::Host;
        let mut written = Vec::new();
        for (key, value) in table {
            match (key.as_str(), value) {
                ("of", value) => {
                    of = Party::deserialize(value)
                        .map_err(|error| format!("{path}: key of: {}", error.message()))?;
                }
                ("row", Value::Array(rows)) => written = rows,
                _ => return Err(format!("{path}: key {key}: a table has 'of' and [[row]]")),
            }
        }
        for (number, row) in (1..).zip(written) {
            let name = row
                .get("name")
                .and_then(Value::as_str)
                .map_or_else(|| number.to_string(), str::to_string);
            let read = match row {
                Value::Table(row) => Row::read(row, of),
                _ => Err("it is not a table".into()),
            };
            let row = read.map_err(|why| format!("{path}: row {name}: {why}"))?;
            if self.rows.iter().any(|other| other.name == row.name) {
                return Err(format!(
                    "{path}: row {name}: key name: there is another row of this name"
                ));
            }
            self.rows.push(row);
        }
        Ok(())
    }

    /// All rows, in their order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of a name.
    #[cfg(test)]
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// What the rows ask of the image.
    pub fn asks(&self) -> Vec<Asks> {
        self.rows.iter().filter_map(Asks::of).collect()
    }

    /// What is known of a subject.
    pub fn of(&self, subject: &Subject) -> Known<'_> {
        Known::new(&self.rows, subject)
    }
}
