//! `#[derive(Tree)]`: see `twinflow_array::Tree`, whose impl this writes.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericParam, Ident, LitStr, Member, Type, parse_macro_input,
    spanned::Spanned, visit::Visit,
};

/// Implements `Tree` for `struct Name<L> { .. }`, where `L` is the leaf type.
///
/// Fields whose type mentions `L` are children; the others are copied by `Clone`. The attributes `#[tree(name = "..")]`,
/// `#[tree(external = "..")]`, `#[tree(first = "..")]` and `#[tree(layout = "..")]` on a field are those of
/// `twinflow_array::Tree`.
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: TokenStream) -> TokenStream {
    expand(&parse_macro_input!(input as DeriveInput)).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let name = &input.ident;
    let leaf = leaf_parameter(input)?;
    let fields = struct_fields(input)?
        .iter()
        .enumerate()
        .map(|(i, field)| Child::new(i, field, leaf))
        .collect::<syn::Result<Vec<_>>>()?;
    let children: Vec<&Child> = fields.iter().filter(|field| field.is_child).collect();
    let visits = children.iter().map(|Child { member, place, .. }| {
        quote! {
            ::twinflow_array::Tree::visit(&self.#member, &place.join(&#place), f);
        }
    });
    let maps = fields.iter().map(|Child { member, place, is_child }| {
        if *is_child {
            quote! { #member: ::twinflow_array::Tree::map_leaves(&self.#member, &place.join(&#place), f), }
        } else {
            quote! { #member: ::core::clone::Clone::clone(&self.#member), }
        }
    });
    let moves = children.iter().map(|Child { member, .. }| {
        quote! {
            ::twinflow_array::Tree::into_leaves(self.#member, out);
        }
    });
    Ok(quote! {
        impl<#leaf: ::twinflow_array::Leaf> ::twinflow_array::Tree for #name<#leaf> {
            type Leaf = #leaf;
            type Rebind<TreeLeaf: ::twinflow_array::Leaf> = #name<TreeLeaf>;

            fn visit<'tree>(
                &'tree self,
                place: &::twinflow_array::Place,
                f: &mut dyn FnMut(&::twinflow_array::Place, &'tree #leaf),
            ) {
                #(#visits)*
            }

            fn map_leaves<TreeLeaf: ::twinflow_array::Leaf>(
                &self,
                place: &::twinflow_array::Place,
                f: &mut dyn FnMut(&::twinflow_array::Place, &#leaf) -> TreeLeaf,
            ) -> #name<TreeLeaf> {
                #name { #(#maps)* }
            }

            fn into_leaves(self, out: &mut ::std::vec::Vec<#leaf>) {
                #(#moves)*
            }
        }
    })
}

/// One field and what the tree does with it.
struct Child {
    member: Member,
    /// The expression of its `Place` below the struct's.
    place: Tokens,
    is_child: bool,
}

impl Child {
    fn new(index: usize, field: &Field, leaf: &Ident) -> syn::Result<Self> {
        let member = field.ident.clone().map_or(Member::Unnamed(index.into()), Member::Named);
        let mut name = field.ident.as_ref().map_or(index.to_string(), Ident::to_string);
        let (mut changes, mut numbered) = (Tokens::new(), None);
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("tree")) {
            attribute.parse_nested_meta(|meta| {
                let known = ["name", "external", "first", "layout"].into_iter().find(|known| meta.path.is_ident(known));
                let Some(known) = known else {
                    return Err(meta.error("expected `name`, `external`, `first` or `layout`, each `= \"..\"`"));
                };
                let text = meta.value()?.parse::<LitStr>()?;
                match known {
                    "name" => name = text.value(),
                    "external" => changes.extend(external(&text)?),
                    "first" => {
                        changes.extend(first(&text)?);
                        numbered = Some(text.span());
                    }
                    _ => changes.extend(layout(&text)?),
                }
                Ok(())
            })?;
        }
        if let Some(span) = numbered.filter(|_| !name.contains('*')) {
            return Err(Error::new(span, "only layers have a first one: the field's name needs a segment `*`"));
        }
        let place = quote! { ::twinflow_array::Place::new(#name) #changes };
        Ok(Child { member, place, is_child: mentions(&field.ty, leaf) })
    }
}

fn external(text: &LitStr) -> syn::Result<Tokens> {
    let names = text.value();
    let whole = |name: &str| name.split('.').all(|segment| !segment.is_empty());
    if !names.is_empty() && !names.split('+').all(whole) {
        return Err(Error::new(text.span(), "expected segments separated by `.`, names of a join separated by `+`"));
    }
    Ok(quote! { .with_external(#names) })
}

fn first(text: &LitStr) -> syn::Result<Tokens> {
    let field: Ident = text.parse()?;
    Ok(quote! { .with_first(self.#field) })
}

fn layout(text: &LitStr) -> syn::Result<Tokens> {
    let layout = match text.value().as_str() {
        "linear" => quote! { Linear },
        "conv" => quote! { Conv },
        "conv_transpose" => quote! { ConvTranspose },
        _ => return Err(Error::new(text.span(), "expected `linear`, `conv` or `conv_transpose`")),
    };
    Ok(quote! { .with_layout(::twinflow_array::Layout::#layout) })
}

fn leaf_parameter(input: &DeriveInput) -> syn::Result<&Ident> {
    let params = &input.generics.params;
    match params.first() {
        Some(GenericParam::Type(leaf)) if params.len() == 1 => Ok(&leaf.ident),
        _ => Err(Error::new(input.ident.span(), "derive(Tree) needs a struct with one type parameter: the leaf")),
    }
}

fn struct_fields(input: &DeriveInput) -> syn::Result<&Fields> {
    match &input.data {
        Data::Struct(data) => Ok(&data.fields),
        Data::Enum(data) => {
            Err(Error::new(data.enum_token.span(), "derive(Tree) is for structs: a tree has one structure"))
        }
        Data::Union(data) => Err(Error::new(data.union_token.span(), "derive(Tree) is for structs")),
    }
}

/// Whether a type names the leaf parameter anywhere inside.
fn mentions(ty: &Type, leaf: &Ident) -> bool {
    struct Finder<'a>(&'a Ident, bool);
    impl<'ast> Visit<'ast> for Finder<'_> {
        fn visit_ident(&mut self, ident: &'ast Ident) {
            self.1 |= ident == self.0;
        }
    }
    let mut finder = Finder(leaf, false);
    finder.visit_type(ty);
    finder.1
}
