//! Names of objects. The folder of a shard contains manifests, the files that manifests name, and notes.

use super::columns::FileKind;

pub fn folder(shard: u32) -> String {
    format!("shard-{shard:05}")
}

/// The shard of a folder name.
pub fn shard(folder: &str) -> Option<u32> {
    folder.strip_prefix("shard-")?.parse().ok()
}

pub fn manifest(transaction: u64) -> String {
    format!("manifest-{transaction:020}.json")
}

/// The transaction of a manifest name.
pub fn manifest_transaction(name: &str) -> Option<u64> {
    name.strip_prefix("manifest-")?.strip_suffix(".json")?.parse().ok()
}

/// The nonce distinguishes the files of different writers: each writes files of its own, and the manifest that is
/// stored names those that count.
pub fn file(transaction: u64, nonce: u32, kind: FileKind, number: usize) -> String {
    format!("{transaction:020}-{nonce:08x}-{}-{number:04}.arrow", kind.name())
}

/// The transaction of a file name.
pub fn file_transaction(name: &str) -> Option<u64> {
    name.strip_suffix(".arrow")?.split_once('-')?.0.parse().ok()
}

pub fn note(shard: u32, name: &str) -> String {
    format!("{}/note-{name}", folder(shard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_back() {
        assert_eq!(shard(&folder(7)), Some(7));
        assert_eq!(manifest_transaction(&manifest(u64::MAX)), Some(u64::MAX));
        assert_eq!(file_transaction(&file(12, 3, FileKind::Customers, 4)), Some(12));
        for other in ["note-attempt", "manifest-x.json", "0001.json", "shard-1"] {
            assert_eq!((manifest_transaction(other), file_transaction(other)), (None, None), "{other}");
        }
        assert!(manifest(9) < manifest(10) && file(9, 9, FileKind::Ids, 9) < file(10, 0, FileKind::Customers, 0));
    }
}
