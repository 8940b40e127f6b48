//! A module file as a report that can be serialised.

use std::borrow::Cow;
use std::path::Path;

use serde::Serialize;

use crate::digest::Sha256;
use crate::module::container::Container;
use crate::module::elf::{self, Class, Endian};
use crate::module::this_module::ModuleLayout;
use crate::module::versions::{SymbolVersion, VersionsFormat};
use crate::module::{Module, StoredFile};
use crate::text::{self, JsonText};

/// Everything that [`Module::read`] knows of a module file, as it is serialised. A file can consist of symbols with short names, so
/// that names are borrowed where they are UTF-8.
#[derive(Serialize)]
pub struct ModuleReport<'m> {
    schema_version: u32,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    name: String,
    container: Container,
    stored_size: u64,
    size: usize,
    sha256: Option<Sha256>,
    class: Class,
    endian: Endian,
    machine: String,
    vermagic: Option<VermagicReport>,
    symbol_versions: SymbolVersionsReport<'m>,
    struct_module: Option<ModuleLayout>,
    build_id: Option<String>,
    btf: Option<u64>,
    signature: Option<SignatureReport>,
    modinfo: Vec<ModinfoFieldReport>,
    import_namespaces: Vec<Cow<'m, str>>,
    imports: Vec<ImportReport<'m>>,
    exports: Vec<ExportReport<'m>>,
}

#[derive(Serialize)]
struct VermagicReport {
    #[serde(flatten)]
    text: JsonText,
    tokens: Vec<TokenReport>,
    visible: bool,
}

#[derive(Serialize)]
struct TokenReport {
    kind: &'static str,
    text: String,
}

#[derive(Serialize)]
struct SymbolVersionsReport<'m> {
    kind: VersionsFormat,
    visible: bool,
    basic: Vec<SymbolVersionReport<'m>>,
    extended: Vec<SymbolVersionReport<'m>>,
}

#[derive(Serialize)]
struct SymbolVersionReport<'m> {
    symbol: Cow<'m, str>,
    crc: String,
}

#[derive(Serialize)]
struct SignatureReport {
    format: &'static str,
    signer: Option<String>,
    key_id: String,
    hash: String,
    signature: String,
    start: usize,
    len: usize,
}

#[derive(Serialize)]
struct ModinfoFieldReport {
    key: String,
    #[serde(flatten)]
    value: JsonText,
}

#[derive(Serialize)]
struct ImportReport<'m> {
    name: Cow<'m, str>,
    weak: bool,
    crc: Option<String>,
}

#[derive(Serialize)]
struct ExportReport<'m> {
    name: Cow<'m, str>,
    gpl_only: bool,
    namespace: Option<Cow<'m, str>>,
    crc: Option<String>,
}

impl<'m> ModuleReport<'m> {
    /// The report of a module that [`crate::module::open`] returned.
    pub fn of(path: &Path, stored: &StoredFile, module: &'m Module) -> Self {
        let lossy = String::from_utf8_lossy;
        let crc = |crc: u64| format!("0x{crc:08x}");
        let versions = |list: &'m Option<Vec<SymbolVersion>>| {
            let list = list.iter().flatten();
            list.map(|v| SymbolVersionReport { symbol: lossy(&v.symbol), crc: crc(v.crc) }).collect()
        };
        ModuleReport {
            schema_version: 1,
            path: text::path_text(path).into_owned(),
            path_hex: text::path_hex(path),
            name: module.name_or_stem(path),
            container: stored.container,
            stored_size: stored.size,
            size: module.size,
            sha256: stored.sha256,
            class: module.class,
            endian: module.endian,
            machine: elf::machine_name(module.machine),
            vermagic: module.vermagic().map(|v| VermagicReport {
                text: JsonText::of(v.as_bytes()),
                tokens: v.tokens().iter().map(|t| TokenReport { kind: t.kind.name(), text: t.text.clone() }).collect(),
                visible: module.modinfo.visible,
            }),
            symbol_versions: SymbolVersionsReport {
                kind: module.versions.kind(),
                visible: module.versions.visible,
                basic: versions(&module.versions.basic),
                extended: versions(&module.versions.extended),
            },
            struct_module: module.this_module.as_ref().map(|t| t.fingerprint),
            build_id: module.build_id.as_ref().map(hex::encode),
            btf: module.btf,
            signature: module.trailer.as_ref().map(|t| SignatureReport {
                format: t.format.name(),
                signer: t.signer.as_deref().map(|signer| lossy(signer).into_owned()),
                key_id: hex::encode(&t.key_id),
                hash: t.hash.clone(),
                signature: hex::encode(&t.signature),
                start: t.start,
                len: t.len,
            }),
            modinfo: module
                .modinfo
                .entries
                .iter()
                .map(|e| ModinfoFieldReport { key: lossy(&e.key).into_owned(), value: JsonText::of(&e.value) })
                .collect(),
            import_namespaces: module.imported_namespaces().map(lossy).collect(),
            imports: module
                .imports
                .iter()
                .map(|i| ImportReport { name: lossy(&i.name), weak: i.is_weak, crc: i.crc.map(crc) })
                .collect(),
            exports: module
                .exports
                .iter()
                .map(|e| ExportReport {
                    name: lossy(&e.name),
                    gpl_only: e.is_gpl_only,
                    namespace: e.namespace.as_deref().map(lossy),
                    crc: e.crc.map(|c| crc(c.into())),
                })
                .collect(),
        }
    }
}
