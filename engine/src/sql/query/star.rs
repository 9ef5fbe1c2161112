//! `*` in SELECT, with what is said behind it: EXCLUDE or EXCEPT, REPLACE, RENAME.

use sqlparser::ast;

use crate::error::{Code, Error, Result};
use crate::expr::Expr;
use crate::sql::expression::Binder;
use crate::sql::scope::ScopeColumn;
use crate::sql::suggest::did_you_mean;
use crate::sql::token::place;
use crate::sql::unsupported;

/// Names and expressions of the columns that `*` stands for.
pub(super) fn columns<'a, 'c>(
    columns: impl Iterator<Item = &'c ScopeColumn>,
    options: &'a ast::WildcardAdditionalOptions,
    binder: &mut Binder<'a>,
) -> Result<Vec<(String, Expr)>> {
    let ast::WildcardAdditionalOptions {
        wildcard_token,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    let mut items: Vec<(String, Expr)> =
        columns.map(|column| (column.name.clone(), column.expression.clone())).collect();
    if let Some(ilike) = opt_ilike {
        return Err(unsupported(format!("`* {ilike}` is not supported"), place(wildcard_token.0.span))
            .help("name the columns, or write * EXCLUDE (a, b)"));
    }
    if let Some(alias) = opt_alias {
        let error = Error::new(Code::Syntax, "`*` is many columns, and AS names one").at(place(alias.span));
        return Err(error.help("write * RENAME (a AS b)"));
    }
    let names: Vec<String> = items.iter().map(|(name, _)| name.clone()).collect();
    let find = |items: &[(String, Expr)], name: &ast::Ident| {
        let found = items.iter().position(|(known, _)| known.eq_ignore_ascii_case(&name.value));
        found.ok_or_else(|| {
            let error = Error::new(Code::UnknownColumn, format!("column `{}` is not among those of `*`", name.value));
            let error = error.at(place(name.span));
            match did_you_mean(&name.value, names.iter().map(String::as_str)) {
                Some(help) => error.help(help),
                None => error,
            }
        })
    };
    for name in excluded(opt_exclude.as_ref(), opt_except.as_ref())? {
        find(&items, name)?;
        // A join may have brought several of the name.
        items.retain(|(known, _)| !known.eq_ignore_ascii_case(&name.value));
    }
    for element in opt_replace.iter().flat_map(|replace| &replace.items) {
        let at = find(&items, &element.column_name)?;
        items[at].1 = binder.bind(&element.expr)?;
    }
    let renamed = match opt_rename {
        None => &[],
        Some(ast::RenameSelectItem::Single(one)) => std::slice::from_ref(one),
        Some(ast::RenameSelectItem::Multiple(many)) => &many[..],
    };
    for ast::IdentWithAlias { ident, alias } in renamed {
        let at = find(&items, ident)?;
        items[at].0.clone_from(&alias.value);
    }
    Ok(items)
}

fn excluded<'a>(
    exclude: Option<&'a ast::ExcludeSelectItem>,
    except: Option<&'a ast::ExceptSelectItem>,
) -> Result<Vec<&'a ast::Ident>> {
    let mut names: Vec<&ast::Ident> = Vec::new();
    let listed = match exclude {
        None => &[],
        Some(ast::ExcludeSelectItem::Single(name)) => std::slice::from_ref(name),
        Some(ast::ExcludeSelectItem::Multiple(names)) => &names[..],
    };
    for name in listed {
        match &name.0[..] {
            [ast::ObjectNamePart::Identifier(name)] => names.push(name),
            _ => {
                let error = Error::new(Code::Syntax, format!("`{name}`: EXCLUDE takes names of columns"));
                return Err(error.help("leave the table's name out"));
            }
        }
    }
    if let Some(ast::ExceptSelectItem { first_element, additional_elements }) = except {
        names.push(first_element);
        names.extend(additional_elements);
    }
    Ok(names)
}
