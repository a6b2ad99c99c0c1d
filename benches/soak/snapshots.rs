//! Customers and bytes of the newest snapshots in a folder, read from their manifests.

use shoal::store::manifest::Manifest;
use std::path::Path;

/// Customers, and bytes of the files that the newest snapshot of each shard stands on. What is being written or removed
/// at the moment is passed over.
pub fn newest(folder: &Path) -> (u64, u64) {
    let mut sums = (0, 0);
    for shard in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let files = std::fs::read_dir(shard.path()).into_iter().flatten().flatten();
        let manifests = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
        // Their names are in order of their transactions.
        let newest = manifests.max().and_then(|path| std::fs::read(path).ok());
        if let Some(manifest) = newest.and_then(|bytes| Manifest::from_bytes(&bytes).ok()) {
            sums.0 += manifest.state.customers;
            sums.1 += manifest.files().map(|file| file.bytes).sum::<u64>();
        }
    }
    sums
}
