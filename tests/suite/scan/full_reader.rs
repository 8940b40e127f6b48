//! The summary of a module made with the full reader, for comparison with the summary reader.

use kmodlab::module::summary::{MARK, ModuleSummary};
use kmodlab::module::{Module, StoredFile};

/// The facts that the full reader has about a file, limited to those in a summary; `name` is the module's name.
pub(crate) fn summary<'m>(stored: &StoredFile, module: &'m Module, name: Option<&'m str>) -> ModuleSummary<'m> {
    ModuleSummary {
        container: stored.container,
        stored_size: stored.size,
        size: module.size as u64,
        class: module.class,
        endian: module.endian,
        machine: module.machine,
        name: name.map(str::as_bytes),
        vermagic: module.modinfo.first("vermagic"),
        vermagics: module.modinfo.all("vermagic").count(),
        visible: module.modinfo.visible,
        mark: module.modinfo.first(MARK),
        versions: module.versions.kind(),
        versions_visible: module.versions.visible,
        btf: module.btf,
        is_signed: module.trailer.is_some(),
        signer: module.trailer.as_ref().and_then(|trailer| trailer.signer.as_deref()),
        unclaimed: module.unclaimed as u64,
    }
}
