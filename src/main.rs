//! placeholder
fn main() {
    for p in std::env::args_os().skip(1) {
        match kmodlab::module::open(p.as_ref(), 1 << 30) {
            Ok((s, m)) => println!(
                "{} {:?} {:?} {:?} i{} e{} v{:?} u{} t{:?}",
                m.name_or_stem(p.as_ref()),
                s.container,
                m.class,
                m.this_module.map(|t| t.fingerprint),
                m.imports.len(),
                m.exports.len(),
                m.versions.kind(),
                m.unclaimed,
                m.trailer.is_some()
            ),
            Err(e) => println!("ERR {e}"),
        }
    }
}
