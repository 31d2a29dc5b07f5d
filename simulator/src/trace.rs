//! Traces: what was asked for, in order.
//!
//! `NAME.u64` holds one little-endian 64-bit id for each request, `NAME.u64.xz` the same compressed; beside it there
//! may be `NAME.sizes.u32` or `NAME.sizes.u32.xz`, the size of the object for each request. Anything else is text: a
//! key on each line, and maybe a comma and its size in bytes.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The requests of a trace. Ids are dense, in the order of first appearance.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// What it is called in tables.
    pub name: String,
    /// The objects, request by request.
    pub ids: Vec<u32>,
    /// The size of the object at each request, in bytes, if known.
    pub sizes: Option<Vec<u32>>,
    objects: usize,
}

impl Trace {
    /// A trace of arbitrary ids.
    pub fn new(name: impl Into<String>, keys: impl IntoIterator<Item = u64>) -> Self {
        let mut known = HashMap::new();
        let mut ids = Vec::new();
        for key in keys {
            let next = known.len() as u32;
            ids.push(*known.entry(key).or_insert(next));
        }
        Self { name: name.into(), ids, sizes: None, objects: known.len() }
    }

    /// The same trace with sizes.
    ///
    /// # Errors
    /// There must be one for each request, none of them zero.
    pub fn with_sizes(mut self, sizes: Vec<u32>) -> Result<Self> {
        ensure!(sizes.len() == self.ids.len(), "{}: {} sizes for {} requests", self.name, sizes.len(), self.ids.len());
        self.sizes = Some(sizes.into_iter().map(|size| size.max(1)).collect());
        Ok(self)
    }

    /// How many different objects there are.
    pub fn objects(&self) -> usize {
        self.objects
    }

    /// What all objects take, each with the size that it had first; 8 bytes if sizes are not known.
    pub fn footprint(&self, charge: impl Fn(u32) -> u32) -> u64 {
        let Some(sizes) = &self.sizes else { return self.objects as u64 * u64::from(charge(8)) };
        let mut seen = vec![false; self.objects];
        let requests = self.ids.iter().zip(sizes);
        let first = requests.filter(|&(&id, _)| !std::mem::replace(&mut seen[id as usize], true));
        first.map(|(_, &size)| u64::from(charge(size))).sum()
    }

    /// Reads a trace from a file.
    ///
    /// # Errors
    /// It must be there and have one of the formats of this module.
    pub fn read(path: &Path) -> Result<Self> {
        let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let name = file_name.split('.').next().unwrap_or_default();
        let Some((stem, ending)) = file_name.split_once(".u64").filter(|(_, ending)| ["", ".xz"].contains(ending)) else {
            return read_text(name, path);
        };
        let bytes = read_all(path)?;
        ensure!(bytes.len().is_multiple_of(8), "{}: {} bytes are no 64-bit ids", path.display(), bytes.len());
        let trace = Self::new(name, bytes.as_chunks().0.iter().map(|&id| u64::from_le_bytes(id)));
        let sizes_at = path.with_file_name(format!("{stem}.sizes.u32{ending}"));
        if !sizes_at.exists() {
            return Ok(trace);
        }
        let bytes = read_all(&sizes_at)?;
        trace.with_sizes(bytes.as_chunks().0.iter().map(|&size| u32::from_le_bytes(size)).collect())
    }

    /// The traces in a directory, in the order of their names.
    ///
    /// # Errors
    /// The directory must be readable.
    pub fn list(directory: &Path) -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_trace = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(".u64") || path.ends_with(".u64.xz"));
        let mut paths: Vec<_> = paths.filter(is_trace).collect();
        paths.sort();
        Ok(paths)
    }
}

fn read_all(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).with_context(|| path.display().to_string())?;
    if path.extension().is_some_and(|extension| extension == "xz") {
        liblzma::read::XzDecoder::new_multi_decoder(file).read_to_end(&mut bytes)
    } else {
        (&file).read_to_end(&mut bytes)
    }
    .with_context(|| path.display().to_string())?;
    Ok(bytes)
}

fn read_text(name: &str, path: &Path) -> Result<Trace> {
    let bytes = read_all(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut known = HashMap::new();
    let (mut ids, mut sizes) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (key, size) = match line.rsplit_once(',') {
            Some((key, size)) => {
                let size = size.trim().parse::<u32>();
                (key, Some(size.with_context(|| format!("{}, line {}: not a size", path.display(), number + 1))?))
            }
            None => (line, None),
        };
        let next = known.len() as u64;
        ids.push(*known.entry(key.trim()).or_insert(next));
        sizes.extend(size);
    }
    ensure!(!ids.is_empty(), "{}: no requests", path.display());
    let trace = Trace::new(name, ids);
    if sizes.is_empty() { Ok(trace) } else { trace.with_sizes(sizes) }
}
