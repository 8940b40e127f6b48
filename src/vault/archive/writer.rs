//! Writing an archive, to any stream.

use std::io::{Error as IoError, Read, Write};

use crate::digest::{Sha256, Sha256Hasher};
use crate::error::{Error, ErrorKind, Result};
use crate::vault::archive::{
    BLOCK, Manifest, ManifestSegment, Member, MemberName, SCHEMA_VERSION, SEAL, header, padding,
};

/// zstd's own default.
const LEVEL: i32 = 3;

const WRITING: &str = "writing the export";

/// An archive that is being written.
pub(in crate::vault) struct ArchiveWriter<W: Write> {
    out: Form<W>,
    members: Vec<Member>,
}

enum Form<W: Write> {
    Plain(Hashing<W>),
    Compressed(zstd::Encoder<'static, Hashing<W>>),
}

/// A stream, with the SHA-256 of everything that went through it.
struct Hashing<W> {
    out: W,
    sum: Sha256Hasher,
}

impl<W: Write> ArchiveWriter<W> {
    /// An archive without members.
    pub(in crate::vault) fn new(out: W, compress: bool) -> Result<ArchiveWriter<W>> {
        let out = Hashing { out, sum: Sha256Hasher::new() };
        let out = match compress {
            false => Form::Plain(out),
            true => {
                let mut encoder = zstd::Encoder::new(out, LEVEL).map_err(failed)?;
                encoder.include_checksum(true).map_err(failed)?;
                Form::Compressed(encoder)
            }
        };
        Ok(ArchiveWriter { out, members: Vec::new() })
    }

    /// Adds a member of this size. Returns the SHA-256 of what was added.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`] if the archive can't be written, or the member can't be read; [`ErrorKind::Changed`] if it is shorter.
    pub(in crate::vault) fn add(&mut self, name: &MemberName, size: u64, contents: &mut impl Read) -> Result<Sha256> {
        self.put(&header(name, size).map_err(failed)?)?;
        let (mut sum, mut left, mut piece) = (Sha256Hasher::new(), size, vec![0; 1 << 16]);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            let room = piece.get_mut(..most).unwrap_or_default();
            let read = match contents.read(room) {
                Ok(0) => return Err(Error::new(ErrorKind::Changed, "changed while it was read")),
                Ok(read) => read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io("reading", e)),
            };
            let read = room.get(..read).unwrap_or_default();
            sum.update(read);
            self.put(read)?;
            left -= read.len() as u64;
        }
        self.put(&vec![0; usize::try_from(padding(size)).unwrap_or_default()])?;
        let sha256 = sum.finish();
        self.members.push(Member { name: name.text(), size, sha256 });
        Ok(sha256)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.out {
            Form::Plain(out) => out.write_all(bytes),
            Form::Compressed(out) => out.write_all(bytes),
        }
        .map_err(failed)
    }

    /// Adds the manifest and the end. Returns the stream, and the SHA-256 of the whole archive.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Io`].
    pub(in crate::vault) fn finish(
        mut self,
        journal: Vec<ManifestSegment>,
        left_out: Vec<String>,
    ) -> Result<(W, Sha256)> {
        let members = std::mem::take(&mut self.members);
        let tool = concat!("kmodlab ", env!("CARGO_PKG_VERSION")).to_owned();
        let text = Manifest { schema_version: SCHEMA_VERSION, tool, journal, members, left_out }.text()?;
        self.add(&MemberName::Manifest, text.len() as u64, &mut text.as_slice())?;
        self.put(&[0; 2 * BLOCK])?;
        let mut out = match self.out {
            Form::Plain(out) => out,
            Form::Compressed(encoder) => {
                let mut out = encoder.finish().map_err(failed)?;
                let frame = out.sum.clone().finish();
                out.write_all(&SEAL).and_then(|()| out.write_all(frame.as_bytes())).map_err(failed)?;
                out
            }
        };
        out.flush().map_err(failed)?;
        Ok((out.out, out.sum.finish()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

fn failed(e: IoError) -> Error {
    Error::io(WRITING, e)
}
