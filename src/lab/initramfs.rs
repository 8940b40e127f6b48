//! The contents of a guest: this program as its first process with the libraries that it needs, the user's own probe,
//! and the modules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, PT_INTERP, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::budget::DEFAULT_MAX_SIZE;
use crate::error::{Error, ErrorKind, Result};
use crate::lab::{cpio, wire};
use crate::module::file;

/// The deepest nesting of scripts as interpreters of scripts.
const DEPTH: u32 = 4;

/// The files of a guest without the modules.
#[derive(Clone, Debug)]
pub struct InitramfsBase {
    /// Files by name, without a leading slash.
    files: BTreeMap<String, Vec<u8>>,
    /// The ELF machine (`e_machine`) of the agent.
    pub machine: u16,
}

impl InitramfsBase {
    /// The files for this agent: this program, or another build of it for the guest's architecture.
    ///
    /// # Errors
    ///
    /// Those of reading files; [`ErrorKind::Unsupported`] for an agent of another architecture that needs libraries.
    pub fn new(agent: &Path) -> Result<InitramfsBase> {
        let mut base = InitramfsBase { files: BTreeMap::new(), machine: 0 };
        let bytes = read(agent)?;
        let program = GuestProgram::read(&bytes).map_err(|e| e.on(agent))?;
        base.machine = program.machine;
        base.add_libraries(agent, &program)?;
        // Data after the mapped part of the file, such as debugging information, is not needed in the guest.
        let mapped = bytes.get(..program.mapped).unwrap_or(&bytes).to_vec();
        base.files.insert(wire::AGENT.to_owned(), mapped);
        Ok(base)
    }

    /// Adds a program of the user's, by its path, with its libraries. A script brings its interpreter.
    ///
    /// # Errors
    ///
    /// As [`InitramfsBase::new`].
    pub fn add_program(&mut self, path: &Path) -> Result<()> {
        self.add_with_interpreters(path, DEPTH)
    }

    fn add_with_interpreters(&mut self, path: &Path, depth: u32) -> Result<()> {
        let bytes = read(path)?;
        if let Some(line) = bytes.strip_prefix(b"#!").and_then(|rest| rest.split(|byte| *byte == b'\n').next()) {
            let line = String::from_utf8_lossy(line);
            let interpreter = line.split_whitespace().next().map(PathBuf::from);
            let interpreter = interpreter.filter(|_| depth > 0).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "a script whose interpreter was not found").on(path)
            })?;
            self.add_with_interpreters(&interpreter, depth - 1)?;
        } else {
            let program = GuestProgram::read(&bytes).map_err(|e| e.on(path))?;
            self.add_libraries(path, &program)?;
        }
        self.files.insert(in_guest(path)?, bytes);
        Ok(())
    }

    fn add_libraries(&mut self, path: &Path, program: &GuestProgram) -> Result<()> {
        for library in libraries(path, program)? {
            let bytes = read(&library)?;
            self.files.insert(in_guest(&library)?, bytes);
        }
        Ok(())
    }

    /// The archive of these files and modules. Modules are given with their names in the guest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] for a file that is too large for the archive format.
    pub fn archive<'f>(&'f self, modules: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Result<Vec<u8>> {
        let own = self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
        cpio::archive(own.chain(modules))
    }
}

/// The path of a file in the guest: the same as on this machine.
fn in_guest(path: &Path) -> Result<String> {
    let path = std::path::absolute(path).map_err(|e| Error::io("finding", e).on(path))?;
    Ok(path.to_string_lossy().trim_start_matches('/').to_owned())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    file::read_even_empty(path, DEFAULT_MAX_SIZE).map(|file| file.bytes().to_vec())
}

/// The properties of a program that the lab needs.
struct GuestProgram {
    machine: u16,
    /// Its dynamic linker.
    interpreter: Option<PathBuf>,
    /// The number of bytes of the file that are mapped when it runs.
    mapped: usize,
}

impl GuestProgram {
    fn read(bytes: &[u8]) -> Result<GuestProgram> {
        match bytes.get(4) {
            Some(class) if *class == object::elf::ELFCLASS32.0 => GuestProgram::of::<FileHeader32<Endianness>>(bytes),
            _ => GuestProgram::of::<FileHeader64<Endianness>>(bytes),
        }
    }

    fn of<Elf: FileHeader<Endian = Endianness>>(bytes: &[u8]) -> Result<GuestProgram> {
        let no_program = |_| Error::new(ErrorKind::Unsupported, "neither an ELF program nor a script");
        let header = Elf::parse(bytes).map_err(no_program)?;
        let endian = header.endian().map_err(no_program)?;
        let mut program = GuestProgram { machine: header.e_machine(endian).0, interpreter: None, mapped: 0 };
        for segment in header.program_headers(endian, bytes).map_err(no_program)? {
            let (start, size): (u64, u64) = (segment.p_offset(endian).into(), segment.p_filesz(endian).into());
            let end = usize::try_from(start.saturating_add(size)).unwrap_or(usize::MAX).min(bytes.len());
            match segment.p_type(endian) {
                PT_LOAD => program.mapped = program.mapped.max(end),
                PT_INTERP => {
                    let text = bytes.get(start as usize..end).unwrap_or_default();
                    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
                    program.interpreter = Some(PathBuf::from(String::from_utf8_lossy(text).into_owned()));
                }
                _ => {}
            }
        }
        Ok(program)
    }
}

/// The ELF machine on which this program runs; 0 for one without guests.
pub fn host_machine() -> u16 {
    match std::env::consts::ARCH {
        "x86_64" => object::elf::EM_X86_64.0,
        "x86" => object::elf::EM_386.0,
        "aarch64" => object::elf::EM_AARCH64.0,
        _ => 0,
    }
}

/// The dynamic linker and the libraries that it would load, as listed by the linker itself (ld.so(8), `--list`).
fn libraries(path: &Path, program: &GuestProgram) -> Result<Vec<PathBuf>> {
    let Some(interpreter) = &program.interpreter else { return Ok(Vec::new()) };
    if program.machine != host_machine() {
        let what = "a program of another architecture that needs libraries";
        let hint = "build it so that it needs none (for Rust: -C target-feature=+crt-static)";
        return Err(Error::new(ErrorKind::Unsupported, what).hint(hint).on(path));
    }
    let output = Command::new(interpreter).arg("--list").arg(path).output();
    let output = output.map_err(|e| Error::io("asking the dynamic linker", e).on(interpreter))?;
    if !output.status.success() {
        let what = format!("not all of its libraries were found: {}", String::from_utf8_lossy(&output.stderr).trim());
        return Err(Error::new(ErrorKind::NotFound, what).on(path));
    }
    let mut found = listed(&String::from_utf8_lossy(&output.stdout));
    found.push(interpreter.clone());
    Ok(found)
}

/// The paths in the dynamic linker's list: `NAME => PATH (ADDRESS)` or `PATH (ADDRESS)`.
fn listed(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let path = line.split_once(" => ").map_or(line, |(_, path)| path);
        let path = path.rsplit_once(" (").map_or(path, |(path, _)| path).trim();
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    text.lines().filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_list_is_read() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f6a)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f6a)\n";
        let paths = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(listed(text), paths.map(PathBuf::from));
    }

    #[test]
    fn other_files_are_refused() {
        let error = GuestProgram::read(b"hello").map(|program| program.machine).unwrap_err();
        assert_eq!(error.what(), "neither an ELF program nor a script");
    }

    #[test]
    fn a_script_brings_its_interpreter() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("probe");
        std::fs::write(&script, "#!/bin/sh\necho it is: here\n").unwrap();
        let mut base = InitramfsBase { files: BTreeMap::new(), machine: host_machine() };
        base.add_program(&script).unwrap();
        assert!(base.files.contains_key("bin/sh"), "{:?}", base.files.keys());
        assert!(base.files.keys().any(|name| name.contains("libc")), "{:?}", base.files.keys());
    }
}
