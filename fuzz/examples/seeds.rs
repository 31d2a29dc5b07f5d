//! Writes `seeds/` and `shmemo.dict` anew. They are committed; this is run when the code of inputs or the layout changes.

use std::fs;
use std::path::Path;

use shmemo_fuzz::seeds;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let _ = fs::remove_dir_all(here.join("seeds"));
    let all = seeds::all();
    for (target, name, bytes) in &all {
        let directory = here.join("seeds").join(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), bytes)?;
    }
    fs::write(here.join("shmemo.dict"), seeds::dictionary())?;
    println!("{} seeds", all.len());
    Ok(())
}
