//! `show`: the contents of module files as text, as modinfo lists them, or as JSON.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::cli::modules::Modules;
use crate::cli::output::{self, Failure, Paint, Session, count, grouped};
use crate::cli::status::Status;
use crate::error::{Error, ErrorKind, Remedy};
use crate::escape::{bytes_for_eyes, lines_for_eyes};
use crate::kernel::module_index::{self, IndexedModule, ModuleIndex};
use crate::module::description::ModuleReport;
use crate::module::listing::{FieldReader, KmodVersion, ListedField, ListedItem, ListedModule, Listing};
use crate::module::trailer::KeyIdKind;
use crate::module::versions::VersionsFormat;
use crate::module::{self, Module, StoredFile, elf};
use crate::walk::Walk;

#[derive(clap::Args)]
#[command(args_override_self = true, mut_group("Modules", |group| group.required(true)))]
#[command(mut_arg("modules", |modules| modules.help("Modules: files, folders with modules (64 deep), or names that are looked up in a module tree")))]
pub(super) struct Args {
    #[command(flatten)]
    modules: Modules,
    /// Only this field, as modinfo prints it
    #[arg(short = 'F', long, value_name = "FIELD", overrides_with_all = ["author", "description", "license", "parameters", "filename"])]
    field: Option<String>,
    /// Only 'author'
    #[arg(short = 'a', long, overrides_with_all = ["field", "description", "license", "parameters", "filename"])]
    author: bool,
    /// Only 'description'
    #[arg(short = 'd', long, overrides_with_all = ["field", "author", "license", "parameters", "filename"])]
    description: bool,
    /// Only 'license'
    #[arg(short = 'l', long, overrides_with_all = ["field", "author", "description", "parameters", "filename"])]
    license: bool,
    /// Only 'parm'
    #[arg(short = 'p', long, overrides_with_all = ["field", "author", "description", "license", "filename"])]
    parameters: bool,
    /// Only 'filename'
    #[arg(short = 'n', long, overrides_with_all = ["field", "author", "description", "license", "parameters"])]
    filename: bool,
    /// Items end with a NUL instead of a line feed, as modinfo -0
    #[arg(short = '0', long)]
    null: bool,
    /// Look names up in this kernel's tree, and print as modinfo does
    #[arg(short = 'k', long = "set-version", value_name = "RELEASE")]
    release: Option<String>,
    /// Look names up in lib/modules below this folder, and print as modinfo does
    #[arg(short = 'b', long = "basedir", value_name = "DIR")]
    root: Option<PathBuf>,
    /// All fields, as modinfo prints them
    #[arg(long)]
    modinfo: bool,
    /// As modinfo of this version of kmod prints them [default: 30]
    #[arg(long, value_name = "VERSION", hide_possible_values = true, conflicts_with_all = ["versions", "json"])]
    #[arg(value_parser = PossibleValuesParser::new(KmodVersion::NAMES).try_map(|name| name.parse::<KmodVersion>()))]
    as_kmod: Option<KmodVersion>,
    /// Symbol versions, as modprobe --show-modversions prints them
    #[arg(long, conflicts_with_all = ["modinfo", "field", "null", "json"])]
    versions: bool,
    /// One JSON object per line and module
    #[arg(long, conflicts_with_all = ["modinfo", "field", "null", "author", "description", "license", "parameters", "filename"])]
    json: bool,
}

impl Args {
    /// The listing of modinfo, if the arguments select it.
    fn listing(&self) -> Option<Listing> {
        let short = [
            (self.author, "author"),
            (self.description, "description"),
            (self.license, "license"),
            (self.parameters, "parm"),
            (self.filename, "filename"),
        ];
        let field = self.field.clone().or_else(|| short.iter().find(|(on, _)| *on).map(|(_, name)| (*name).to_owned()));
        let as_modinfo = self.modinfo
            || self.as_kmod.is_some()
            || self.null
            || field.is_some()
            || self.release.is_some()
            || self.root.is_some();
        (as_modinfo && !self.json && !self.versions).then(|| Listing {
            kmod: self.as_kmod.unwrap_or_default(),
            field,
            nul: self.null,
        })
    }
}

pub(super) fn run(args: Args, session: &mut Session<'_>) -> Result<Status, Failure> {
    let mut printer = Printer { args: &args, listing: args.listing(), fields: FieldReader::default(), shown: 0 };
    let mut failed = 0_usize;
    let mut one = |argument: Result<PathBuf, Error>, session: &mut Session<'_>| {
        let printed = argument.map_err(Failure::from).and_then(|path| match printer.print(&path, session) {
            Err(Failure::Error(error)) => Err(error.on(path).into()),
            printed => printed,
        });
        match printed {
            Ok(()) => printer.shown += 1,
            Err(Failure::Error(error)) => {
                session.complain(&error);
                failed += 1;
            }
            Err(output) => return Err(output),
        }
        Ok(())
    };
    for named in args.modules.selection().named()? {
        match named {
            // With -k and -b a word is a name, whatever the working folder contains.
            Ok(folder) if args.release.is_none() && args.root.is_none() && folder.is_dir() => {
                Walk::modules(folder).try_for_each(|file| one(file, session))?;
            }
            named => one(named, session)?,
        }
    }
    // One unreadable file is an error; if others were shown, the status is 1, as in modinfo.
    Ok(match (failed, printer.shown) {
        (0, _) => Status::Done,
        (1, 0) => Status::Failed,
        _ => Status::Negative,
    })
}

/// Prints modules one after the other.
struct Printer<'a> {
    args: &'a Args,
    /// The listing of modinfo, if the arguments select it, and what reads the fields for it.
    listing: Option<Listing>,
    fields: FieldReader,
    /// How many arguments were shown.
    shown: usize,
}

impl Printer<'_> {
    fn print(&mut self, argument: &Path, session: &mut Session<'_>) -> Result<(), Failure> {
        let (release, root) = (self.args.release.as_deref(), self.args.root.as_deref());
        let looks_like_path = argument.as_os_str().as_bytes().contains(&b'/') || argument.exists();
        if (looks_like_path && release.is_none() && root.is_none()) || module_index::is_module_file(argument) {
            return self.file(argument, session);
        }
        for found in ModuleIndex::of(release, root).find(&argument.to_string_lossy())? {
            match (found, &self.listing) {
                (IndexedModule::File(path), _) => self.file(&path, session)?,
                (IndexedModule::BuiltIn(name, fields), Some(listing)) => {
                    print_listing(listing, &ListedModule::BuiltIn(name.into_bytes()), &fields, session)?;
                }
                (IndexedModule::BuiltIn(..), None) => {
                    let what = "is built into the kernel: there is no module file";
                    return Err(Error::new(ErrorKind::Unsupported, what).remedy(Remedy::ListModinfo).into());
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, session: &mut Session<'_>) -> Result<(), Failure> {
        if self.args.versions {
            return print_versions(&module::open_unhashed(path, session.max_size)?, session);
        }
        if let Some(listing) = &self.listing {
            let fields = self.fields.file(path, session.max_size, listing)?;
            return print_listing(listing, &ListedModule::File(path), &fields, session);
        }
        let (stored, module) = module::open(path, session.max_size)?;
        if self.args.json {
            return session.json(&ModuleReport::of(path, &stored, &module));
        }
        if self.shown > 0 {
            writeln!(session.out)?;
        }
        for_eyes(path, &stored, &module, session)
    }
}

fn print_listing(
    listing: &Listing,
    module: &ListedModule<'_>,
    fields: &[ListedField],
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    for item in listing.items(module, fields) {
        match item {
            ListedItem::Line(mut line) => {
                if session.escapes {
                    line = lines_for_eyes(&line).into_bytes();
                }
                line.push(if listing.nul { 0 } else { b'\n' });
                session.out.write_all(&line)?;
            }
            ListedItem::MalformedParameter((key, value)) => {
                let [key, value] = [key, value].map(|text| bytes_for_eyes(&text));
                session.remark(format_args!("{key}={value} has no ':', and is left out"));
            }
            ListedItem::NoModinfo => {
                let what = "built into the kernel, whose build kept no modinfo of it";
                return Err(Error::new(ErrorKind::NotFound, what).into());
            }
        }
    }
    Ok(())
}

/// Prints the symbol versions as `modprobe --show-modversions` (kmod 30), which omits the dot of old powerpc64 names.
fn print_versions(module: &Module, session: &mut Session<'_>) -> Result<(), Failure> {
    let versions = module.versions.basic.as_ref().or(module.versions.extended.as_ref());
    let Some(versions) = versions else {
        return Err(Error::new(ErrorKind::NotFound, "no symbol versions")
            .hint("built without CONFIG_MODVERSIONS")
            .into());
    };
    for version in versions {
        let symbol = version.symbol.strip_prefix(b".").unwrap_or(&version.symbol);
        write!(session.out, "0x{:08x}\t", version.crc)?;
        match session.escapes {
            true => session.out.write_all(bytes_for_eyes(symbol).as_bytes())?,
            false => session.out.write_all(symbol)?,
        }
        writeln!(session.out)?;
    }
    Ok(())
}

fn for_eyes(path: &Path, stored: &StoredFile, module: &Module, session: &mut Session<'_>) -> Result<(), Failure> {
    let name = session.paint(Paint::Strong, crate::escape::for_eyes(&module.name_or_stem(path)));
    writeln!(session.out, "{name}  {}", output::path(path))?;
    for (label, lines) in [
        ("file", file_lines(path, stored, module)),
        (
            "class",
            vec![format!("{} {} {}", module.class.name(), module.endian.name(), elf::machine_name(module.machine))],
        ),
        ("vermagic", vermagic_lines(module)),
        ("versions", versions_lines(module)),
        ("struct module", struct_lines(module)),
        ("imports", imports_lines(module)),
        ("exports", exports_lines(module)),
        ("build-id", vec![module.build_id.as_ref().map_or("none".to_owned(), hex::encode)]),
        ("signature", signature_lines(module)),
        ("BTF", vec![module.btf.map_or("none".to_owned(), |size| format!("{} bytes", grouped(size)))]),
        ("modinfo", modinfo_lines(module)),
    ] {
        let label = session.paint(Paint::Faint, format_args!("{label:<14}"));
        let mut lines = lines.into_iter();
        writeln!(session.out, "  {label} {}", lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(session.out, "  {:14} {line}", "")?;
        }
    }
    Ok(())
}

fn file_lines(path: &Path, stored: &StoredFile, module: &Module) -> Vec<String> {
    let size = match stored.container {
        module::container::Container::None => format!("{} bytes", grouped(stored.size)),
        container => format!(
            "{} bytes, {}, {} bytes inside",
            grouped(stored.size),
            container.name(),
            grouped(module.size as u64)
        ),
    };
    let mut lines =
        vec![size, format!("SHA-256 {}", stored.sha256.map(|digest| digest.to_string()).unwrap_or_default())];
    if let Some(text) = module.after_signature(stored.container, path) {
        lines.push(text);
    } else if module.unclaimed > 0 {
        lines.push(format!("{} after the ELF image that belong to nothing", count(module.unclaimed, "byte")));
    }
    lines
}

fn vermagic_lines(module: &Module) -> Vec<String> {
    let Some(vermagic) = module.vermagic() else {
        return match module.of_linux_2_4() {
            Some(version) => vec![format!("none: a module of Linux 2.4, built for {}", bytes_for_eyes(version))],
            None if module.is_stripped() => vec![
                "none, and no name and intree: stripped, as OpenWrt builds modules (CONFIG_MODULE_STRIPPED)".to_owned(),
                "its own kernels load it unforced, others only when forced".to_owned(),
            ],
            None => vec!["none: a kernel takes this module only when forced".to_owned()],
        };
    };
    let tokens = vermagic.tokens().iter().map(|token| {
        let text = crate::escape::for_eyes(&token.text);
        if token.kind.name() == token.text { text } else { format!("{} {text}", token.kind.name()) }
    });
    let mut lines = vec![output::vermagic(vermagic.as_bytes())];
    lines.extend(Some(tokens.collect::<Vec<_>>().join(" · ")).filter(|line| !line.is_empty()));
    if let Some(architectures) = module.foreign_architectures() {
        let here = elf::machine_name(module.machine);
        lines.push(format!("these tokens belong to {}, the ELF file is for {here}", architectures.join(", ")));
    }
    if !module.modinfo.visible {
        lines.push("not marked SHF_ALLOC: kernels up to 6.3 do not see it".to_owned());
    }
    if module.modinfo.all("vermagic").count() > 1 {
        lines.push("there are several; the kernel takes the first".to_owned());
    }
    lines
}

fn versions_lines(module: &Module) -> Vec<String> {
    let count_of = |list: &Option<Vec<_>>| list.as_ref().map_or(0, Vec::len);
    let (basic, extended) = (count_of(&module.versions.basic), count_of(&module.versions.extended));
    let mut line = match module.versions.kind() {
        VersionsFormat::None => "none: the release in the vermagic decides".to_owned(),
        VersionsFormat::Basic => format!("{}, basic", count(basic, "symbol")),
        VersionsFormat::Extended => format!("{}, extended", count(extended, "symbol")),
        VersionsFormat::Both => format!("{}, basic; {extended}, extended", count(basic, "symbol")),
    };
    if module.versions.basic.is_some() && !module.versions.visible {
        line.push_str("; not marked SHF_ALLOC, so no kernel sees the basic ones");
    }
    if let Some(crc) = module.versions.crc(b"module_layout").or_else(|| module.versions.crc(b"struct_module")) {
        line.push_str(&format!("; module_layout 0x{crc:08x}"));
    }
    vec![line]
}

fn struct_lines(module: &Module) -> Vec<String> {
    let Some(this) = &module.this_module else { return vec!["none: no kernel loads this".to_owned()] };
    let at = |place: Option<u64>| place.map_or("none".to_owned(), |offset| format!("at 0x{offset:x}"));
    let print = this.fingerprint;
    vec![format!("0x{:x} bytes, init {}, exit {}", print.size, at(print.init), at(print.exit))]
}

fn imports_lines(module: &Module) -> Vec<String> {
    let weak = module.imports.iter().filter(|i| i.is_weak).count();
    let mut line = count(module.imports.len(), "symbol");
    if weak > 0 {
        line.push_str(&format!(", {weak} of them weak"));
    }
    let namespaces: Vec<String> = module.imported_namespaces().map(bytes_for_eyes).collect();
    if !namespaces.is_empty() {
        line.push_str(&format!("; namespaces {}", namespaces.join(", ")));
    }
    vec![line]
}

fn exports_lines(module: &Module) -> Vec<String> {
    const SHOWN: usize = 8;
    let mut lines =
        vec![if module.exports.is_empty() { "none".to_owned() } else { count(module.exports.len(), "symbol") }];
    lines.extend(module.exports.iter().take(SHOWN).map(|export| {
        let mut line = bytes_for_eyes(&export.name);
        if export.is_gpl_only {
            line.push_str(", GPL-only");
        }
        if let Some(namespace) = &export.namespace {
            line.push_str(&format!(", namespace {}", bytes_for_eyes(namespace)));
        }
        line
    }));
    if module.exports.len() > SHOWN {
        lines.push(format!("and {} more (--json lists all)", module.exports.len() - SHOWN));
    }
    lines
}

fn signature_lines(module: &Module) -> Vec<String> {
    let Some(trailer) = &module.trailer else { return vec!["none".to_owned()] };
    let signer = trailer.signer.as_deref().map_or("an unnamed signer".to_owned(), bytes_for_eyes);
    let key = match trailer.key_id_kind {
        KeyIdKind::SerialNumber => "serial number",
        KeyIdKind::SubjectKeyIdentifier => "subject key identifier",
        KeyIdKind::Field => "key id",
    };
    vec![
        format!("{}, {}, by {signer}", trailer.format.name(), crate::escape::for_eyes(&trailer.hash)),
        format!("{key} {}", hex::encode(&trailer.key_id)),
        format!("trailer of {} from byte {}", count(trailer.len, "byte"), grouped(trailer.start as u64)),
    ]
}

fn modinfo_lines(module: &Module) -> Vec<String> {
    let entries = module.modinfo.entries.iter().filter(|e| e.key != b"vermagic");
    entries
        .map(|e| format!("{:<12} {}", bytes_for_eyes(&e.key), bytes_for_eyes(&e.value)).trim_end().to_owned())
        .collect()
}
