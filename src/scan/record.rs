//! A scanned module as a record that can be serialised.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use crate::error::Error;
use crate::module::container::Container;
use crate::module::elf::{self, Class, Endian};
use crate::module::name_of_file;
use crate::module::summary::ModuleSummary;
use crate::module::versions::VersionsFormat;
use crate::scan::journal::JournalState;
use crate::text::{self, JsonText};

/// A module of a scan, or the error in its place.
pub struct ScannedModule<'s> {
    /// The package that contains it.
    pub package: Option<&'s Path>,
    /// Its path; in the package, if it is in one.
    pub path: &'s Path,
    /// What was read.
    pub inspected: Result<InspectedModule<'s>, &'s Error>,
}

/// A module that could be read.
#[derive(Clone, Copy)]
pub struct InspectedModule<'s> {
    /// Its summary.
    pub summary: &'s ModuleSummary<'s>,
    /// Its state by the journal, if the journal knows it.
    pub journal: Option<JournalState>,
}

/// A module as it is serialised.
#[derive(Serialize)]
#[serde(untagged)]
pub enum ModuleRecord<'r> {
    /// A module that was read.
    Read(Box<ReadModule<'r>>),
    /// A module that cannot be read.
    Unreadable(UnreadableModule<'r>),
}

/// The record of a module that was read.
#[derive(Serialize)]
pub struct ReadModule<'r> {
    schema_version: u32,
    #[serde(flatten)]
    path: RecordedPath<'r>,
    name: Cow<'r, str>,
    container: Container,
    stored_size: u64,
    size: u64,
    class: Class,
    endian: Endian,
    machine: String,
    /// The first vermagic, which the kernel takes.
    vermagic: Option<JsonText>,
    /// How many there are.
    vermagics: usize,
    visible: bool,
    symbol_versions: VersionsFormat,
    symbol_versions_visible: bool,
    btf: Option<u64>,
    signed: bool,
    signer: Option<Cow<'r, str>>,
    mark: Option<Cow<'r, str>>,
    journal: Option<JournalState>,
    unclaimed: u64,
}

/// The record of a module that cannot be read.
#[derive(Serialize)]
pub struct UnreadableModule<'r> {
    schema_version: u32,
    #[serde(flatten)]
    path: RecordedPath<'r>,
    error: String,
}

#[derive(Serialize)]
struct RecordedPath<'r> {
    path: Cow<'r, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<Cow<'r, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_hex: Option<String>,
}

impl ScannedModule<'_> {
    /// The module's name: by its modinfo, or by its file name.
    pub fn name(&self) -> Cow<'_, str> {
        let name = self.inspected.as_ref().ok().and_then(|inspected| inspected.summary.name);
        name.map_or_else(|| Cow::Owned(name_of_file(self.path)), String::from_utf8_lossy)
    }

    /// The record of the module. `words` puts an error into words, without the path.
    pub fn record(&self, words: impl Fn(&Error) -> String) -> ModuleRecord<'_> {
        let path = RecordedPath {
            path: text::path_text(self.path),
            path_hex: text::path_hex(self.path),
            package: self.package.map(text::path_text),
            package_hex: self.package.and_then(text::path_hex),
        };
        match self.inspected {
            Ok(InspectedModule { summary, journal }) => ModuleRecord::Read(Box::new(ReadModule {
                schema_version: 1,
                path,
                name: self.name(),
                container: summary.container,
                stored_size: summary.stored_size,
                size: summary.size,
                class: summary.class,
                endian: summary.endian,
                machine: elf::machine_name(summary.machine),
                vermagic: summary.vermagic.map(JsonText::of),
                vermagics: summary.vermagics,
                visible: summary.visible,
                symbol_versions: summary.versions,
                symbol_versions_visible: summary.versions_visible,
                btf: summary.btf,
                signed: summary.is_signed,
                signer: summary.signer.map(String::from_utf8_lossy),
                mark: summary.mark.map(String::from_utf8_lossy),
                journal,
                unclaimed: summary.unclaimed,
            })),
            Err(error) => ModuleRecord::Unreadable(UnreadableModule { schema_version: 1, path, error: words(error) }),
        }
    }
}
