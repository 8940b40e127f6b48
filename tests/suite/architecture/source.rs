//! The parsed sources of the crate: its files in the order of their module paths, the items that each defines, and the paths
//! that each names. Code for tests only (`#[cfg(test)]`) is left out; everything after it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A module path below the crate: `["kernel", "image"]`.
pub(super) type Module = Vec<String>;

/// All modules of a crate that are compiled without tests.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) modules: BTreeMap<Module, Contents>,
    /// Files below the folder that no module declares.
    pub(super) unused: BTreeSet<PathBuf>,
}

/// The contents of a module.
#[derive(Default)]
pub(super) struct Contents {
    /// The path of the file below the source folder.
    pub(super) file: PathBuf,
    /// Names of items that are defined here: types, functions, constants, macros.
    pub(super) items: BTreeSet<String>,
    /// Names that `use` declarations import, with their paths.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// Modules from which all names are imported (`use super::*`).
    pub(super) globs: Vec<Vec<String>>,
    /// Every path that is named in the module, with its line.
    pub(super) paths: Vec<(Vec<String>, usize)>,
    /// Definitions of types, with their kinds and attributes.
    pub(super) types: Vec<TypeDefinition>,
    /// String literals and documentation comments, with their lines.
    pub(super) texts: Vec<Text>,
}

/// A struct, enum, union, trait or type alias.
pub(super) struct TypeDefinition {
    pub(super) name: String,
    pub(super) line: usize,
    /// It derives clap's `Args`: the arguments of a command.
    pub(super) is_arguments: bool,
}

/// A string literal, or a line of a documentation comment.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) is_documentation: bool,
}

impl Sources {
    /// Reads the crate whose root is `lib.rs` in a folder, and the program in `main.rs` if there is one. The program is read
    /// as the module `main`.
    pub(super) fn read(src: &Path) -> Sources {
        let mut sources = Sources::default();
        let mut read = BTreeSet::new();
        sources.add_file(src, Path::new("lib.rs"), Vec::new(), &mut read);
        if src.join("main.rs").exists() {
            sources.add_file(src, Path::new("main.rs"), vec!["main".to_owned()], &mut read);
        }
        sources.unused = files_below(src, Path::new("")).into_iter().filter(|file| !read.contains(file)).collect();
        sources
    }

    fn add_file(&mut self, src: &Path, file: &Path, module: Module, read: &mut BTreeSet<PathBuf>) {
        read.insert(file.to_owned());
        let text = std::fs::read_to_string(src.join(file)).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        self.add_items(src, file, &module, &parsed.items, read);
        let mut reader = Reader { contents: self.modules.get_mut(&module).unwrap() };
        parsed.attrs.iter().for_each(|attribute| reader.visit_attribute(attribute));
    }

    fn add_items(&mut self, src: &Path, file: &Path, module: &Module, items: &[Item], read: &mut BTreeSet<PathBuf>) {
        let mut contents = Contents { file: file.to_owned(), ..Contents::default() };
        let mut below = Vec::new();
        for item in items {
            match item {
                Item::Mod(inner) => below.push(inner),
                _ if is_for_tests(attributes(item)) => {}
                _ => Reader { contents: &mut contents }.visit_item(item),
            }
        }
        self.modules.insert(module.clone(), contents);
        for inner in below {
            let name = name_of(&inner.ident);
            let mut path: Module = module.iter().cloned().chain([name.clone()]).collect();
            let at = folder_of(file).join(path.last().unwrap());
            let mut found =
                [at.with_extension("rs"), at.join("mod.rs")].into_iter().find(|file| src.join(file).exists());
            if let Some((other, is_certain)) = path_attribute(&inner.attrs) {
                // The other form of the module, without a feature: a separate module here.
                let (name, other) = (format!("{} ({other})", path.last().unwrap()), file.parent().unwrap().join(other));
                let alternative: Module = module.iter().cloned().chain([name]).collect();
                if is_certain {
                    (path, found) = (alternative, Some(other));
                } else {
                    self.add_file(src, &other, alternative, read);
                }
            }
            match (&inner.content, found.clone()) {
                _ if is_for_tests(&inner.attrs) => {
                    // The files of a module for tests are not part of the compiled crate.
                    let files = found_below(src, &at).into_iter().chain(found);
                    read.extend(files.filter(|_| inner.content.is_none()));
                }
                (Some((_, items)), _) => self.add_items(src, file, &path, items, read),
                (None, Some(found)) => self.add_file(src, &found, path, read),
                (None, None) => panic!("{}: no file for mod {name}", file.display()),
            }
        }
    }
}

/// The folder that holds the files of a file's modules.
fn folder_of(file: &Path) -> PathBuf {
    match file.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    }
}

fn found_below(src: &Path, folder: &Path) -> Vec<PathBuf> {
    if src.join(folder).is_dir() { files_below(src, folder) } else { Vec::new() }
}

/// The Rust files below a folder, by their paths below `src`.
pub(crate) fn files_below(src: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(src.join(folder)).unwrap().map(Result::unwrap) {
        let path = folder.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files_below(src, &path)),
            false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// Is there a `#[cfg(test)]`, or a condition that includes `test`?
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = match &attribute.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
            _ => return false,
        };
        text == "test" || text.starts_with("all (test")
    })
}

/// The name of an item or a segment: `r#try` is `try`.
fn name_of(ident: &syn::Ident) -> String {
    ident.unraw().to_string()
}

/// The file of `#[path = "…"]`, or of `#[cfg_attr(…, path = "…")]`, which applies only under a condition (false).
fn path_attribute(attributes: &[Attribute]) -> Option<(String, bool)> {
    let text = |tokens: &[TokenTree]| match tokens {
        [TokenTree::Ident(name), TokenTree::Punct(_), TokenTree::Literal(text)] if name == "path" => {
            syn::parse_str::<syn::LitStr>(&text.to_string()).ok().map(|text| text.value())
        }
        _ => None,
    };
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(syn::MetaNameValue {
            path,
            value: syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }),
            ..
        }) if path.is_ident("path") => Some((file.value(), true)),
        syn::Meta::List(list) if list.path.is_ident("cfg_attr") => {
            let tokens: Vec<TokenTree> = list.tokens.clone().into_iter().collect();
            tokens.windows(3).find_map(text).map(|file| (file, false))
        }
        _ => None,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Collects the contents of a module's items.
struct Reader<'c> {
    contents: &'c mut Contents,
}

impl Reader<'_> {
    fn names(&mut self, path: Vec<String>, span: Span) {
        self.contents.paths.push((path, span.start().line));
    }

    fn add_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| before.iter().cloned().chain([name_of(name)]).collect::<Vec<String>>();
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, before)),
            UseTree::Name(name) if name.ident == "self" => {
                self.import(before.last().cloned(), before.to_vec(), name.ident.span())
            }
            UseTree::Name(name) => self.import(Some(name_of(&name.ident)), with(&name.ident), name.ident.span()),
            UseTree::Rename(name) if name.ident == "self" => {
                self.import(Some(name.rename.to_string()), before.to_vec(), name.ident.span());
            }
            UseTree::Rename(name) => self.import(Some(name.rename.to_string()), with(&name.ident), name.ident.span()),
            UseTree::Glob(glob) => {
                self.contents.globs.push(before.to_vec());
                self.names(before.iter().cloned().chain(["*".to_owned()]).collect(), glob.star_token.spans[0]);
            }
        }
    }

    fn import(&mut self, name: Option<String>, path: Vec<String>, span: Span) {
        self.contents.imports.entry(name.unwrap_or_default()).or_insert_with(|| path.clone());
        self.names(path, span);
    }

    fn defines(&mut self, name: &syn::Ident) {
        self.contents.items.insert(name.to_string());
    }

    fn defines_type(&mut self, name: &syn::Ident, attributes: &[Attribute]) {
        let is_arguments = attributes.iter().any(|attribute| {
            attribute.path().is_ident("derive") && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.clone().into_iter().any(|token| matches!(token, TokenTree::Ident(name) if name == "Args")))
        });
        self.contents.types.push(TypeDefinition {
            name: name.to_string(),
            line: name.span().start().line,
            is_arguments,
        });
    }

    /// Paths and strings in unparsed tokens: arguments of macros and attributes.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                        self.text(&text.value(), literal.span(), false);
                    }
                }
                TokenTree::Ident(first) => {
                    let mut path = vec![name_of(first)];
                    let is_separator = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
                    while is_separator(tokens.get(at + 1)) && is_separator(tokens.get(at + 2)) {
                        let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                        path.push(name_of(next));
                        at += 3;
                    }
                    // `pub(crate)` names nothing.
                    if path != ["crate"] {
                        self.names(path, first.span());
                    }
                }
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    fn text(&mut self, text: &str, span: Span, is_documentation: bool) {
        self.contents.texts.push(Text { text: text.to_owned(), line: span.start().line, is_documentation });
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Const(item) => self.defines(&item.ident),
            Item::Fn(item) => self.defines(&item.sig.ident),
            Item::Static(item) => self.defines(&item.ident),
            Item::Macro(item) => item.ident.iter().for_each(|name| self.defines(name)),
            Item::Enum(syn::ItemEnum { ident, attrs, .. })
            | Item::Struct(syn::ItemStruct { ident, attrs, .. })
            | Item::Trait(syn::ItemTrait { ident, attrs, .. })
            | Item::Type(syn::ItemType { ident, attrs, .. })
            | Item::Union(syn::ItemUnion { ident, attrs, .. }) => {
                self.defines(ident);
                self.defines_type(ident, attrs);
            }
            _ => {}
        }
        // The argument of the crate's own macros is itself an item (`internal_fields! { pub struct … }`).
        if let Item::Macro(syn::ItemMacro { ident: None, mac, .. }) = item
            && let Ok(file) = syn::parse2::<syn::File>(mac.tokens.clone())
        {
            self.visit_path(&mac.path);
            file.items.iter().for_each(|item| Reader { contents: &mut *self.contents }.visit_item(item));
            return;
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| name_of(&segment.ident)).collect();
        self.names(names, path.segments.first().map_or_else(Span::call_site, |segment| segment.ident.span()));
        visit::visit_path(self, path);
    }

    /// `pub(in crate::kernel)` is not a dependency.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.read_tokens(item.tokens.clone());
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.text(&text.value(), text.span(), false);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            syn::Meta::NameValue(value) if value.path.is_ident("doc") => {
                if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &value.value {
                    self.text(&text.value(), text.span(), true);
                }
            }
            syn::Meta::NameValue(value) => self.visit_expr(&value.value),
            syn::Meta::List(list) => {
                let known = self.contents.texts.len();
                self.read_tokens(list.tokens.clone());
                // `#[serde(with = "crate::text::lossy")]` names a path in a string.
                let paths: Vec<(Vec<String>, usize)> = self.contents.texts[known..]
                    .iter()
                    .filter(|text| {
                        text.text.contains("::")
                            && text.text.split("::").all(|part| {
                                syn::parse_str::<syn::Ident>(part).is_ok() || ["crate", "self", "super"].contains(&part)
                            })
                    })
                    .map(|text| (text.text.split("::").map(str::to_owned).collect(), text.line))
                    .collect();
                self.contents.paths.extend(paths);
            }
            syn::Meta::Path(_) => {}
        }
    }
}
