//! Reads the public API from the sources: the names that `lib.rs` exports, followed to their definitions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::{Attribute, Fields, File, ImplItem, Item, UseTree, Visibility};

/// What another crate can name.
pub(super) struct Api {
    /// The names at the top of the crate, in alphabetical order.
    pub(super) names: Vec<String>,
    /// The number of documented items: names, fields, variants and methods.
    pub(super) items: usize,
    /// Public items without documentation.
    pub(super) undocumented: Vec<String>,
    /// Definitions without documentation, private fields and bodies, each followed by its implementations.
    definitions: Vec<Item>,
}

impl Api {
    /// The API as Rust code, which is never compiled.
    pub(super) fn text(&self) -> String {
        let file = |item: &Item| File { shebang: None, attrs: Vec::new(), items: vec![item.clone()] };
        self.definitions.iter().map(|item| prettyplease::unparse(&file(item))).collect::<Vec<String>>().join("\n")
    }
}

/// Reads the sources in a folder.
pub(super) fn exported(src: &Path) -> Api {
    let mut exports = BTreeMap::new();
    for item in &parse(&src.join("lib.rs")).items {
        if let Item::Use(item) = item
            && matches!(item.vis, Visibility::Public(_))
            && !item.attrs.iter().any(is_hidden)
        {
            collect(&item.tree, &[], &mut exports);
        }
    }
    let mut definitions: BTreeMap<String, Vec<(String, Item)>> = BTreeMap::new();
    let mut implementations: BTreeMap<String, Vec<syn::ItemImpl>> = BTreeMap::new();
    for file in crate::architecture::source::files_below(src, Path::new("")) {
        let layer = file.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        let items = parse(&src.join(&file)).items;
        for item in items.into_iter().map(opened) {
            match item {
                Item::Impl(item) => {
                    let name = self_name(&item);
                    implementations.entry(name).or_default().push(item);
                }
                item => {
                    if let Some((name, Visibility::Public(_))) = name_and_visibility(&item) {
                        definitions.entry(name).or_default().push((layer.clone(), item));
                    }
                }
            }
        }
    }
    let mut reader = Reader { exports: exports.keys().cloned().collect(), items: 0, undocumented: Vec::new() };
    let mut shown = Vec::new();
    for (name, layer) in &exports {
        let mut found = definitions.get(name).into_iter().flatten().filter(|(at, _)| at == layer);
        let (Some((_, item)), None) = (found.next(), found.next()) else {
            panic!("{name} is not defined once in {layer}");
        };
        shown.push(reader.definition(item.clone()));
        let mut parts: Vec<syn::ItemImpl> = implementations
            .get(name)
            .into_iter()
            .flatten()
            .filter_map(|item| reader.implementation(name, item.clone()))
            .collect();
        parts.sort_by_key(|item| item.trait_.as_ref().map(|(_, path, _)| last(path)));
        shown.extend(parts.into_iter().map(Item::Impl));
    }
    let names = exports.into_keys().collect();
    Api { names, items: reader.items, undocumented: reader.undocumented, definitions: shown }
}

fn parse(file: &Path) -> File {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// The exported names, each with the layer that defines it.
fn collect(tree: &UseTree, path: &[String], exports: &mut BTreeMap<String, String>) {
    match tree {
        UseTree::Path(inner) => collect(&inner.tree, &[path, &[inner.ident.to_string()]].concat(), exports),
        UseTree::Group(group) => group.items.iter().for_each(|tree| collect(tree, path, exports)),
        UseTree::Name(name) => {
            exports.insert(name.ident.to_string(), path.first().expect("a layer").clone());
        }
        UseTree::Rename(_) | UseTree::Glob(_) => panic!("lib.rs exports names as they are, one by one"),
    }
}

/// A struct whose fields are public only with the feature `internals` (`internal_fields!`) has no public field.
fn opened(item: Item) -> Item {
    match item {
        Item::Macro(item) if last(&item.mac.path) == "internal_fields" => {
            Item::Struct(item.mac.parse_body().expect("internal_fields! holds a struct"))
        }
        item => item,
    }
}

fn name_and_visibility(item: &Item) -> Option<(String, Visibility)> {
    let (name, visibility) = match item {
        Item::Struct(item) => (&item.ident, &item.vis),
        Item::Enum(item) => (&item.ident, &item.vis),
        Item::Trait(item) => (&item.ident, &item.vis),
        Item::Type(item) => (&item.ident, &item.vis),
        Item::Fn(item) => (&item.sig.ident, &item.vis),
        _ => return None,
    };
    Some((name.to_string(), visibility.clone()))
}

/// The last segment of the type that has the implementation.
fn self_name(item: &syn::ItemImpl) -> String {
    match &*item.self_ty {
        syn::Type::Path(path) => last(&path.path),
        _ => String::new(),
    }
}

fn last(path: &syn::Path) -> String {
    path.segments.last().map_or_else(String::new, |segment| segment.ident.to_string())
}

fn is_hidden(attribute: &Attribute) -> bool {
    matches!(&attribute.meta, syn::Meta::List(list) if list.path.is_ident("doc") && list.tokens.to_string() == "hidden")
}

/// Does the item exist only for this crate's own tests?
fn is_behind_the_door(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        matches!(&attribute.meta, syn::Meta::List(list) if list.path.is_ident("cfg")
            && list.tokens.to_string() == r#"feature = "internals""#)
    })
}

/// Keeps the attributes that other crates notice. An item that this crate's own tests may construct is closed to other crates.
fn noticed(attributes: &mut Vec<Attribute>) {
    for attribute in attributes.iter_mut() {
        let is_closed = matches!(&attribute.meta, syn::Meta::List(list) if list.path.is_ident("cfg_attr")
            && list.tokens.to_string().ends_with(", non_exhaustive"));
        if is_closed {
            *attribute = syn::parse_quote!(#[non_exhaustive]);
        }
    }
    attributes.retain(|attribute| {
        ["derive", "non_exhaustive", "must_use"].iter().any(|name| attribute.path().is_ident(name))
    });
}

/// Traits of this crate that are not exported are not part of the API; those of the standard library and of serde are.
const FOREIGN_TRAITS: &[&str] = &[
    "AsRef",
    "Clone",
    "Default",
    "Deref",
    "Deserialize",
    "Display",
    "Drop",
    "Error",
    "From",
    "FromStr",
    "IntoIterator",
    "Iterator",
    "PartialEq",
    "Serialize",
    "TryFrom",
    "Debug",
];

struct Reader {
    exports: BTreeSet<String>,
    items: usize,
    undocumented: Vec<String>,
}

impl Reader {
    /// Counts an item, and removes everything from it that other crates do not notice.
    fn item(&mut self, name: &str, attributes: &mut Vec<Attribute>) {
        self.items += 1;
        if !attributes.iter().any(|attribute| attribute.path().is_ident("doc")) {
            self.undocumented.push(name.to_owned());
        }
        noticed(attributes);
    }

    fn definition(&mut self, item: Item) -> Item {
        match item {
            Item::Struct(mut item) => {
                let name = item.ident.to_string();
                self.item(&name, &mut item.attrs);
                self.fields(&name, &mut item.fields, false);
                Item::Struct(item)
            }
            Item::Enum(mut item) => {
                let name = item.ident.to_string();
                self.item(&name, &mut item.attrs);
                for variant in &mut item.variants {
                    let name = format!("{name}::{}", variant.ident);
                    self.item(&name, &mut variant.attrs);
                    self.fields(&name, &mut variant.fields, true);
                }
                Item::Enum(item)
            }
            Item::Trait(mut item) => {
                let name = item.ident.to_string();
                self.item(&name, &mut item.attrs);
                for part in &mut item.items {
                    if let syn::TraitItem::Fn(part) = part {
                        self.item(&format!("{name}::{}", part.sig.ident), &mut part.attrs);
                        part.default = None;
                    }
                }
                Item::Trait(item)
            }
            Item::Type(mut item) => {
                self.item(&item.ident.to_string(), &mut item.attrs);
                Item::Type(item)
            }
            Item::Fn(mut item) => {
                self.item(&item.sig.ident.to_string(), &mut item.attrs);
                item.block = Box::new(syn::parse_quote!({}));
                Item::Fn(item)
            }
            other => panic!("an exported item of another kind: {other:?}"),
        }
    }

    /// Keeps the public fields, or all fields of a variant.
    fn fields(&mut self, of: &str, fields: &mut Fields, are_public: bool) {
        if let Fields::Named(named) = fields {
            let all = std::mem::take(&mut named.named);
            named.named = all
                .into_iter()
                .filter(|field| are_public || matches!(field.vis, Visibility::Public(_)))
                .filter(|field| !is_behind_the_door(&field.attrs))
                .map(|mut field| {
                    let name = format!("{of}::{}", field.ident.as_ref().unwrap());
                    self.item(&name, &mut field.attrs);
                    field
                })
                .collect();
        }
        fields.iter_mut().for_each(|field| noticed(&mut field.attrs));
    }

    /// An implementation of public methods, or of a trait that other crates know. `None` if no part of it is public.
    fn implementation(&mut self, name: &str, mut item: syn::ItemImpl) -> Option<syn::ItemImpl> {
        noticed(&mut item.attrs);
        if let Some((_, path, _)) = &item.trait_ {
            let name = last(path);
            item.items.clear();
            return (FOREIGN_TRAITS.contains(&name.as_str()) || self.exports.contains(&name)).then_some(item);
        }
        let mut shown = Vec::new();
        for part in std::mem::take(&mut item.items) {
            match part {
                ImplItem::Fn(part) if is_behind_the_door(&part.attrs) => {}
                ImplItem::Fn(mut part) if matches!(part.vis, Visibility::Public(_)) => {
                    self.item(&format!("{name}::{}", part.sig.ident), &mut part.attrs);
                    part.block = syn::parse_quote!({});
                    shown.push(ImplItem::Fn(part));
                }
                ImplItem::Const(mut part) if matches!(part.vis, Visibility::Public(_)) => {
                    self.item(&format!("{name}::{}", part.ident), &mut part.attrs);
                    shown.push(ImplItem::Const(part));
                }
                _ => {}
            }
        }
        item.items = shown;
        (!item.items.is_empty()).then_some(item)
    }
}
