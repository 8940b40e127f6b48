//! Finds a kernel by its name: opens each source that the name gives, joins their facts, and derives what follows from
//! them.

use std::ffi::OsStr;
use std::path::Path;

use crate::budget::WorkBudget;
use crate::door::internal_fn;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::collect::{FileSink, KernelFiles};
use crate::kernel::lookup::{KernelQuestion, Lookup};
use crate::kernel::merge::FactSink;
use crate::kernel::model::Kernel;
use crate::kernel::name::KernelName;
use crate::kernel::source::KernelSource;
use crate::kernel::source::folder::Folder;
use crate::kernel::source::image::ImageFile;
use crate::kernel::source::package::{self, Package};
use crate::kernel::source::reference::ReferenceModule;
use crate::kernel::source::running::RunningSystem;
use crate::kernel::source::text::TextFile;
use crate::kernel::source::vermagic::GivenVermagic;
use crate::kernel::stored::StoredModule;
use crate::kernel::{derived, image, place};
use crate::module;

/// Finds a kernel by its name as text; see [`Kernel::read`].
///
/// # Errors
///
/// Those of [`Kernel::read`].
pub fn named(name: &OsStr, lookup: &Lookup) -> Result<Kernel> {
    Kernel::read(&KernelName::from(name), lookup)
}

internal_fn! {
    /// As [`named`], with the budget that was spent.
    fn named_at_cost(name: &OsStr, lookup: &Lookup) -> (Result<Kernel>, WorkBudget) {
        let budget = WorkBudget::new(lookup.max_size);
        let kernel = answer(&KernelName::from(name), &KernelQuestion::new(lookup, &budget));
        (kernel, budget)
    }
}

impl Kernel {
    /// Reads a kernel from the sources that its name gives. Their facts are merged; of a fact that several sources have,
    /// that of the first one is used.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if there is nothing of that name, or nothing there is a kernel or has its version magic;
    /// [`ErrorKind::Ambiguous`] if there is more than one kernel; [`ErrorKind::Malformed`] for a version magic that no
    /// kernel can have, or a package that is damaged or has unsafe paths; [`ErrorKind::TooMuchWork`] if decompressing costs more
    /// than the size of the sources justifies; those of [`crate::Module::open`].
    pub fn read(name: &KernelName, lookup: &Lookup) -> Result<Kernel> {
        answer(name, &KernelQuestion::new(lookup, &WorkBudget::new(lookup.max_size)))
    }
}

fn answer(name: &KernelName, question: &KernelQuestion<'_>) -> Result<Kernel> {
    let mut sink = FactSink::default();
    each_source(name, question, |source, question| source.add_facts(&mut sink, question))?;
    let mut facts = sink.facts();
    if facts.layout.is_none() {
        facts.learn_from_btf();
    }
    // An image that was read and does not have the string has another one, whatever mainline's rules yield.
    if let (None, Some(release), Some(config), None) = (&facts.vermagic, &facts.release, &facts.config, &facts.messages)
    {
        facts.vermagic = derived::vermagic(release, config);
    }
    facts.learn_from_vermagic();
    let Some(vermagic) = facts.vermagic.clone() else {
        if facts.banner.is_some() || facts.stripped.is_some() {
            return Ok(Kernel { name: name.clone(), vermagic: None, facts });
        }
        if let Some(config) = facts.config.as_ref().filter(|config| !config.value.contains_key("MODULES")) {
            let what = format!("this kernel loads no modules: CONFIG_MODULES is not set ({})", config.source);
            return Err(Error::new(ErrorKind::NotFound, what).on(name.to_string()));
        }
        let hint = "add the image or a module of the same kernel, separated by +";
        return Err(Error::new(ErrorKind::NotFound, "nothing here has the kernel's version magic")
            .hint(hint)
            .on(name.to_string()));
    };
    match vermagic.value.problems().iter().find(|problem| problem.is_error()) {
        Some(problem) => {
            let what = format!("not the version magic of a kernel ({}): {problem}", vermagic.source);
            Err(Error::new(ErrorKind::Malformed, what).on(name.to_string()))
        }
        None => Ok(Kernel { name: name.clone(), vermagic: Some(vermagic), facts }),
    }
}

/// The image of a kernel and the modules that `files` wants.
///
/// # Errors
///
/// [`ErrorKind::Ambiguous`] if there are files of more than one kernel; [`ErrorKind::Io`] for a wanted file that cannot be
/// read; those of [`crate::module::container::Container::decompress`] for a module; those of [`Kernel::read`].
pub(super) fn files(name: &KernelName, mut files: FileSink, lookup: &Lookup) -> Result<KernelFiles> {
    let budget = WorkBudget::new(lookup.max_size);
    let question = KernelQuestion::new(lookup, &budget);
    each_source(name, &question, |source, question| source.add_files(&mut files, question))?;
    files.files(&budget).map_err(|e| e.on(name.to_string()))
}

/// Passes each module of a kernel to `each`, source by source, within a budget that the caller shares.
///
/// # Errors
///
/// [`ErrorKind::Ambiguous`] if there are modules of more than one release; those of the sources; the first error of `each`.
pub(super) fn each_module(
    name: &KernelName,
    lookup: &Lookup,
    budget: &WorkBudget,
    mut each: impl FnMut(StoredModule) -> Result<()>,
) -> Result<()> {
    let mut release: Option<String> = None;
    let mut one_kernel = |module: StoredModule| {
        if let Some(theirs) = &module.release {
            let ours = release.get_or_insert_with(|| theirs.clone());
            place::must_be_one(&[ours.as_str(), theirs.as_str()].into())?;
        }
        each(module)
    };
    each_source(name, &KernelQuestion::new(lookup, budget), |source, question| {
        source.each_module(question, &mut one_kernel)
    })
}

/// Opens each source of a name in turn; only one is open at a time.
fn each_source(
    name: &KernelName,
    question: &KernelQuestion<'_>,
    mut each: impl FnMut(&dyn KernelSource, &KernelQuestion<'_>) -> Result<()>,
) -> Result<()> {
    let answer = match name {
        KernelName::Running => each(&RunningSystem::new(Path::new("/")), question),
        KernelName::Vermagic(vermagic) => each(&GivenVermagic(vermagic), question),
        KernelName::Paths(paths) => paths.iter().try_for_each(|path| each(&*open(path, question)?, question)),
    };
    // Sources skip files that they can't decompress, whatever the reason, and whatever else is wrong may follow from that.
    match question.budget.check() {
        Err(exhausted) if answer.as_ref().map_err(Error::kind) != Err(ErrorKind::TooMuchWork) => {
            Err(exhausted.on(name.to_string()))
        }
        _ => answer,
    }
}

/// Recognises a path by its contents.
fn open(path: &Path, question: &KernelQuestion<'_>) -> Result<Box<dyn KernelSource>> {
    if path.is_dir() {
        return Ok(Box::new(Folder(path.to_owned())));
    }
    if !path.is_file() {
        return Ok(Box::new(ReferenceModule(path.to_owned())));
    }
    let contents = module::file::read_up_to(path, question.max_size())?;
    let bytes = contents.bytes();
    question.budget.admit(bytes.len());
    if package::looks_like(bytes) {
        // Reading a package may take longer than a lease blocks a process that wants to truncate the file, and after that
        // a mapping can fault (`module::file`). So the package is read from a copy, and the file is released at once.
        return Ok(Box::new(Package { path: path.to_owned(), bytes: bytes.to_vec() }));
    }
    if image::looks_like_image(bytes, question.budget) {
        return Ok(Box::new(ImageFile { path: path.to_owned(), contents }));
    }
    question.budget.check().map_err(|e| e.on(path))?;
    Ok(match TextFile::open(path, bytes, question.budget)? {
        Some(text) => Box::new(text),
        None => Box::new(ReferenceModule(path.to_owned())),
    })
}
