//! Damage to snapshots, done to their files while no service runs; and folders that cannot be used for a while.

use crate::support::events::Random;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One of this many newest files of a shard is damaged; most of them belong to its newest snapshot.
const NEWEST: usize = 3;

/// Flips a byte of, truncates or removes the newest manifest or one of the newest files of a shard. Returns a
/// description.
pub fn damage(objects: &Path, random: &mut Random) -> io::Result<Option<String>> {
    let mut candidates = Vec::new();
    for shard in entries(objects)?.into_iter().filter(|path| path.is_dir()) {
        let (manifests, files): (Vec<_>, Vec<_>) = entries(&shard)?.into_iter().partition(|path| is_manifest(path));
        // Names begin with the number of the transaction.
        candidates.extend(manifests.into_iter().next_back());
        candidates.extend(files.into_iter().rev().take(NEWEST));
    }
    if candidates.is_empty() {
        return Ok(None);
    }
    let path = candidates.swap_remove(random.below(candidates.len() as u64) as usize);
    let mut bytes = fs::read(&path)?;
    let index = random.below(bytes.len().max(1) as u64) as usize;
    let how = match random.below(3) {
        0 if !bytes.is_empty() => {
            bytes[index] ^= 1 << random.below(8);
            fs::write(&path, &bytes)?;
            format!("byte {index} flipped")
        }
        1 => {
            fs::write(&path, &bytes[..index])?;
            format!("cut to {index} bytes")
        }
        _ => {
            fs::remove_file(&path)?;
            "removed".to_owned()
        }
    };
    let name = path.strip_prefix(objects).unwrap_or(&path).display();
    Ok(Some(format!("{name}: {how}")))
}

/// Removes everything.
pub fn wipe(objects: &Path) -> io::Result<()> {
    for path in entries(objects)? {
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// The number of manifests of a shard that were written after `since`.
pub fn manifests_since(objects: &Path, shard: usize, since: SystemTime) -> io::Result<usize> {
    let mut count = 0;
    for path in entries(&objects.join(format!("shard-{shard:05}")))?.iter().filter(|path| is_manifest(path)) {
        match fs::metadata(path) {
            Ok(metadata) => count += usize::from(metadata.modified()? > since),
            // Retention has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Puts a file in place of each shard's folder, and the folder aside.
pub fn hide(objects: &Path) -> io::Result<()> {
    for shard in entries(objects)?.into_iter().filter(|path| is_shard(path) && path.is_dir()) {
        fs::write(aside(&shard), "")?;
        exchange(&shard)?;
    }
    Ok(())
}

/// Undoes [`hide`].
pub fn show(objects: &Path) -> io::Result<()> {
    for shard in entries(objects)?.into_iter().filter(|path| is_shard(path) && path.is_file()) {
        exchange(&shard)?;
        fs::remove_file(aside(&shard))?;
    }
    Ok(())
}

fn aside(shard: &Path) -> PathBuf {
    shard.with_extension("away")
}

/// Atomic: otherwise a service could create the folder in between.
fn exchange(shard: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, shard, CWD, aside(shard), RenameFlags::EXCHANGE)?)
}

fn is_shard(path: &Path) -> bool {
    path.extension().is_none() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("shard-"))
}

fn is_manifest(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("manifest-"))
}

/// Sorted by name; empty if the folder does not exist yet.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let found = match fs::read_dir(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = found.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
