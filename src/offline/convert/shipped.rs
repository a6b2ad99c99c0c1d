//! The mappings that are compiled in: `--mapping shopify` needs no file.

use std::path::Path;

const SHIPPED: [(&str, &str, &str); 5] = [
    (
        "european-excel",
        "config/mappings/european-excel.toml",
        include_str!("../../../config/mappings/european-excel.toml"),
    ),
    ("magento", "config/mappings/magento.toml", include_str!("../../../config/mappings/magento.toml")),
    (
        "online-retail",
        "config/mappings/online-retail.toml",
        include_str!("../../../config/mappings/online-retail.toml"),
    ),
    ("shopify", "config/mappings/shopify.toml", include_str!("../../../config/mappings/shopify.toml")),
    ("woocommerce", "config/mappings/woocommerce.toml", include_str!("../../../config/mappings/woocommerce.toml")),
];

/// The names, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, ..)| *name)
}

/// File and text of the shipped mapping of this name, unless there is a file of this name.
pub fn by_name(path: &Path) -> Option<(&'static str, &'static str)> {
    if path.exists() {
        return None;
    }
    let name = path.to_str()?;
    SHIPPED.iter().find(|(known, ..)| *known == name).map(|(_, file, text)| (*file, *text))
}
