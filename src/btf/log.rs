//! The lines that a kernel prints when it rejects BTF.
//!
//! From `btf_verifier_log` and the related functions (kernel/bpf/btf.c) and `bpf_verifier_vlog` (kernel/bpf/log.c) of 6.1.192,
//! 6.12.118 and 7.2.13, which print the same lines. Each part of a message is a separate line: the type, its details, a blank
//! line, the reason, an empty line. Pure.

use std::fmt::Display;

use crate::btf::types::{BtfKind, BtfType};
use crate::template::{Line, Template};

/// Each line of the verifier (`btf_verifier_log`).
const LINE: Template<1> = Template::new("BPF: {text:*}");
/// The lines about a module's own base (`btf_relocate`, kernel/bpf/btf_relocate.c).
pub(super) const BASE_KIND: Template<2> =
    Template::new("type [{type:d}] in distilled based BTF has unexpected kind [{kind:d}]");
pub(super) const BASE_UNNAMED: Template<2> =
    Template::new("type [{type:d}], kind [{kind:d}] is invalid for distilled base BTF; it is anonymous");
pub(super) const BASE_AMBIGUOUS: Template<5> = Template::new(
    "distilled base BTF type '{name:*}' [{type:d}], size {size:d} has multiple candidates of the same size (ids [{id:d}, {other:d}]) in base BTF",
);
pub(super) const BASE_UNMAPPED: Template<2> =
    Template::new("distilled base BTF type '{name:*}' [{type:d}] is not mapped to base BTF id");
pub(super) const BASE_STRING: Template<2> =
    Template::new("string '{name:*}' [offset {offset:d}] is not mapped to base BTF");

/// The texts of all these lines.
pub(crate) const TEXTS: [&str; 6] = [
    LINE.text(),
    BASE_KIND.text(),
    BASE_UNNAMED.text(),
    BASE_AMBIGUOUS.text(),
    BASE_UNMAPPED.text(),
    BASE_STRING.text(),
];

fn line(text: impl Display) -> Line {
    LINE.line([&text])
}

/// Why a kernel rejects BTF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The errno, as a positive number; printed in `failed to validate module [NAME] BTF: -ERRNO`.
    pub errno: i32,
    /// The reason, as the kernel words it.
    pub reason: String,
    /// The lines that the kernel prints before the line with the errno, in order.
    pub lines: Vec<Line>,
    /// The lines describe one type of a module's BTF. Kernels that load a module in spite of such a mismatch
    /// (CONFIG_MODULE_ALLOW_BTF_MISMATCH) and print `Kernel module BTF mismatch detected` omit these lines.
    pub describes_type: bool,
}

impl Rejection {
    /// A rejection that prints one line (`btf_verifier_log`).
    pub(super) fn line(errno: i32, message: &str) -> Rejection {
        let reason = message.trim_start().to_owned();
        Rejection { errno, reason, lines: vec![LINE.line([&message])], describes_type: false }
    }

    /// A rejection that prints no line.
    pub(super) fn silent(errno: i32, reason: impl Into<String>) -> Rejection {
        Rejection { errno, reason: reason.into(), lines: Vec::new(), describes_type: false }
    }

    /// A rejection whose line is printed by another part of the kernel (`btf_relocate`).
    pub(super) fn warning(errno: i32, message: Line) -> Rejection {
        Rejection { errno, reason: message.to_string(), lines: vec![message], describes_type: false }
    }

    /// The same rejection with another reason.
    pub(super) fn because(self, reason: String) -> Rejection {
        Rejection { reason, ..self }
    }

    /// A rejection of a type, printed with its details (`btf_verifier_log_type`) or without them (`btf_verifier_log_basic`).
    pub(super) fn of_type(errno: i32, described: &Described<'_>, details: bool, message: &str) -> Rejection {
        let Described { number, found, name } = described;
        let kind = kind_name(found.kind);
        let mut lines =
            vec![line(format_args!("[{number}] {kind} {}{}", name(found.name), if details { " " } else { "" }))];
        if details {
            lines.extend(details_of(found, name));
        }
        lines.extend([line(" "), line(message), line("")]);
        Rejection { errno, reason: format!("type {number} ({kind}): {message}"), lines, describes_type: true }
    }

    /// A rejection of a member of a structure (`btf_verifier_log_member`).
    pub(super) fn of_member(errno: i32, described: &Described<'_>, member: [u32; 3], message: &str) -> Rejection {
        let [name, kind, place] = member;
        let name = (described.name)(name);
        let first = if described.found.flag() {
            line(format_args!(
                "\t{name} type_id={kind} bitfield_size={} bits_offset={}",
                place >> 24,
                place & 0x00ff_ffff
            ))
        } else {
            line(format_args!("\t{name} type_id={kind} bits_offset={place}"))
        };
        Rejection { describes_type: true, ..described.part(errno, first, message) }
    }

    /// A rejection of a variable in a data section (`btf_verifier_log_vsi`).
    pub(super) fn of_variable(errno: i32, described: &Described<'_>, variable: [u32; 3], message: &str) -> Rejection {
        let [kind, offset, size] = variable;
        described.part(errno, line(format_args!("\t type_id={kind} offset={offset} size={size}")), message)
    }

    /// The same rejection, for an error in the module's own base.
    pub(super) fn in_base(self) -> Rejection {
        Rejection { reason: format!(".BTF.base: {}", self.reason), describes_type: false, ..self }
    }
}

/// A type as the kernel describes it.
pub(super) struct Described<'a> {
    pub(super) number: usize,
    pub(super) found: BtfType<'a>,
    /// Returns the string at an offset, as the kernel prints it.
    pub(super) name: &'a dyn Fn(u32) -> String,
}

impl Described<'_> {
    fn part(&self, errno: i32, first: Line, message: &str) -> Rejection {
        let reason = format!("type {} ({}): {message}", self.number, kind_name(self.found.kind));
        let lines = vec![first, line(" "), line(message), line("")];
        Rejection { errno, reason, lines, describes_type: false }
    }
}

/// `btf_kind_str`.
fn kind_name(kind: BtfKind) -> &'static str {
    match kind {
        BtfKind::Int => "INT",
        BtfKind::Pointer => "PTR",
        BtfKind::Array => "ARRAY",
        BtfKind::Struct => "STRUCT",
        BtfKind::Union => "UNION",
        BtfKind::Enum => "ENUM",
        BtfKind::Forward => "FWD",
        BtfKind::Typedef => "TYPEDEF",
        BtfKind::Volatile => "VOLATILE",
        BtfKind::Const => "CONST",
        BtfKind::Restrict => "RESTRICT",
        BtfKind::Function => "FUNC",
        BtfKind::Prototype => "FUNC_PROTO",
        BtfKind::Variable => "VAR",
        BtfKind::Section => "DATASEC",
        BtfKind::Float => "FLOAT",
        BtfKind::DeclarationTag => "DECL_TAG",
        BtfKind::TypeTag => "TYPE_TAG",
        BtfKind::Enum64 => "ENUM64",
    }
}

/// `log_details` for the kind: one line, or one line per parameter for a prototype.
fn details_of(found: &BtfType<'_>, name: &dyn Fn(u32) -> String) -> Vec<Line> {
    let size = found.size_or_type;
    let parts = found.info & 0x00ff_ffff;
    let number = |index: usize| found.extra_number(index).unwrap_or(0);
    let text = match found.kind {
        BtfKind::Int => {
            let data = number(0);
            let encoding = match data >> 24 & 15 {
                0 => "(none)",
                1 => "SIGNED",
                2 => "CHAR",
                4 => "BOOL",
                _ => "UNKN",
            };
            format!("size={size} bits_offset={} nr_bits={} encoding={encoding}", data >> 16 & 255, data & 255)
        }
        BtfKind::Pointer
        | BtfKind::Typedef
        | BtfKind::Volatile
        | BtfKind::Const
        | BtfKind::Restrict
        | BtfKind::TypeTag
        | BtfKind::Function => format!("type_id={size}"),
        BtfKind::Forward => if found.flag() { "union" } else { "struct" }.to_owned(),
        BtfKind::Array => format!("type_id={} index_type_id={} nr_elems={}", number(0), number(1), number(2)),
        BtfKind::Struct | BtfKind::Union | BtfKind::Enum | BtfKind::Enum64 | BtfKind::Section => {
            format!("size={size} vlen={parts}")
        }
        BtfKind::Variable => format!("type_id={size} linkage={}", number(0)),
        BtfKind::Float => format!("size={size}"),
        BtfKind::DeclarationTag => format!("type={size} component_idx={}", number(0).cast_signed()),
        BtfKind::Prototype => return prototype(found, name),
    };
    vec![line(text)]
}

/// The maximum number of a prototype's parameters that are listed. C functions have a few dozen at most.
const MOST_PARAMETERS: usize = 256;

/// `btf_func_proto_log`.
fn prototype(found: &BtfType<'_>, name: &dyn Fn(u32) -> String) -> Vec<Line> {
    let mut lines = vec![line(format_args!("return={} args=(", found.size_or_type))];
    let parameters: Vec<[u32; 2]> = found.groups::<2>().take(MOST_PARAMETERS).collect();
    match parameters.as_slice() {
        [] => lines.push(line("void")),
        [[_, 0]] => lines.push(line("vararg")),
        [[first, kind], rest @ ..] => {
            lines.push(line(format_args!("{kind} {}", name(*first))));
            let last = rest.len();
            lines.extend(rest.iter().zip(1..).map(|([name_at, kind], at)| match kind {
                0 if at == last => line(", vararg"),
                _ => line(format_args!(", {kind} {}", name(*name_at))),
            }));
        }
    }
    lines.push(line(")"));
    lines
}
