//! What is this module? Prints its name, architecture, version magic, signer and imports.
//!
//! ```sh
//! cargo run --example inspect -- fixtures/modules/hello-4-signed.ko.xz
//! ```

#![allow(clippy::print_stdout, reason = "an example prints what it found")]

use std::path::PathBuf;

use kmodlab::{Module, Result};

fn main() -> Result<()> {
    let file = std::env::args_os().nth(1).map_or_else(|| "fixtures/modules/hello-4.ko".into(), PathBuf::from);
    let module = Module::open(&file)?;

    println!("name       {}", module.name().unwrap_or_default());
    println!("machine    {}", module.machine_name());
    if let Some(vermagic) = module.vermagic() {
        println!("vermagic   {vermagic}");
        for token in vermagic.tokens() {
            println!("           {:<14} {}", token.kind.name(), token.text);
        }
    }
    println!("signer     {}", module.signer().unwrap_or_else(|| "not signed".to_owned()));
    for (symbol, crc) in module.imported_symbols() {
        let crc = crc.map_or_else(|| "no CRC".to_owned(), |crc| format!("{crc:#010x}"));
        println!("imports    {:<24} {crc}", symbol.escape_ascii());
    }
    Ok(())
}
