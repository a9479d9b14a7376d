/**
 * Reads a TypeScript file as far as import rules need it: its imports, and its code with comments and literals blanked out.
 * A tokenizer, not a parser: TypeScript 7 has no JavaScript API to ask.
 */

/** One import, re-export or dynamic import. */
export type Import = {
  readonly specifier: string;
  /** `import type`: nothing of it is left at run time. (`import { type X }` still loads the module under type stripping.) */
  readonly typeOnly: boolean;
  /** Values taken from the module, as the module calls them; `*` for all of it, `default` for the default export. */
  readonly names: readonly string[];
};

/** What a file imports and says. */
export type Outline = {
  readonly imports: readonly Import[];
  /** The code; comments are gone, the insides of strings, templates and regular expressions are blank. */
  readonly code: string;
  /** Imports whose target is computed, and other ways around an `import` that can be read. */
  readonly unreadable: readonly string[];
};

type Masked = { readonly code: string; readonly strings: readonly string[] };

/** What may stand before a slash that begins a regular expression: an operator, an opening bracket or a keyword. */
const BEFORE_REGEX = /(^|[(,=:[!&|?{};+\-*%~^<>]|\b(return|typeof|case|in|of|do|else|void|throw|new|delete|await|yield))\s*$/;
const TOKEN = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\\n]|\\[\s\S])*'|"(?:[^"\\\n]|\\[\s\S])*"|[`{}/]/g;
const REGEX = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y;
const TEMPLATE_TEXT = /(?:[^`\\$]|\\[\s\S]|\$(?!\{))*(`|\$\{|$)/y;

/** Blanks what is not code; every string literal becomes `"n"`, its place in `strings`. */
function mask(source: string): Masked {
  const strings: string[] = [];
  /** One entry an open brace: true where closing it leads back into a template. */
  const braces: boolean[] = [];
  let code = '';
  let at = 0;
  const skip = (pattern: RegExp, from: number): RegExpExecArray | null => {
    pattern.lastIndex = from;
    return pattern.exec(source);
  };
  const template = (from: number): void => {
    const end = skip(TEMPLATE_TEXT, from);
    at = from + (end?.[0].length ?? 0);
    if (end?.[1] === '${') braces.push(true);
    code += end?.[1] === '${' ? '(' : '``';
  };
  for (let token = skip(TOKEN, 0); token !== null; token = skip(TOKEN, at)) {
    const text = token[0];
    code += source.slice(at, token.index);
    at = token.index + text.length;
    if (text.startsWith('//') || text.startsWith('/*')) code += ' ';
    else if (text.startsWith("'") || text.startsWith('"')) code += `"${strings.push(text.slice(1, -1)) - 1}"`;
    else if (text === '`') template(at);
    else if (text === '{') code += braces.push(false) > 0 ? '{' : '';
    else if (text === '}' && braces.pop() === true) {
      code += ')';
      template(at);
    } else if (text === '/' && BEFORE_REGEX.test(code)) {
      at = token.index + (skip(REGEX, token.index)?.[0].length ?? 1);
      code += '/x/';
    } else code += text;
  }
  return { code: code + source.slice(at), strings };
}

/** The values named by `{ a, type B, c as d }`, `* as x` or `x`. */
function valueNames(text: string): readonly string[] {
  const listed = (/\{([^}]*)\}/.exec(text)?.[1] ?? '')
    .split(',')
    .map((entry) => /^\s*(type\s+(?!as\b))?([\w$]+)/.exec(entry))
    .flatMap((match) => (match?.[2] === undefined || match[1] !== undefined ? [] : [match[2]]));
  const rest = text.replace(/\{[^}]*\}/, '').trim();
  return [...(/^[\w$]/.test(rest) ? ['default'] : []), ...(rest.includes('*') ? ['*'] : []), ...listed];
}

const STATIC = /(?<![.\w$])(?:import|export)\s+(?:(type)\s+(?=[{*\w]))?([\w$\s{},*]*?)\s*from\s*"(\d+)"/g;
const BARE = /(?<![.\w$])import\s*"(\d+)"/g;
const DYNAMIC = /(?<![.\w$])import\s*\(\s*(?:"(\d+)"\s*[),])?/g;
const DETOUR = /(?<![.\w$])require\s*\(|\bcreateRequire\b|\bgetBuiltinModule\b|\beval\s*\(|\bnew\s+Function\b/g;

/** The outline of one file's source. */
export function outline(source: string): Outline {
  const { code, strings } = mask(source.replace(/^#!.*/, ''));
  const named = (index: string | undefined): string => strings[Number(index)] ?? '';
  const imports: Import[] = [];
  for (const [, type, text, index] of code.matchAll(STATIC)) {
    const typeOnly = type !== undefined;
    imports.push({ specifier: named(index), typeOnly, names: typeOnly ? [] : valueNames(text ?? '') });
  }
  for (const [, index] of code.matchAll(BARE)) imports.push({ specifier: named(index), typeOnly: false, names: [] });
  const unreadable: string[] = [...code.matchAll(DETOUR)].map((match) => match[0]);
  for (const [text, index] of code.matchAll(DYNAMIC)) {
    if (index === undefined) unreadable.push(`${text}…`);
    // `import('x')` in a type counts as the real thing: the rules read types, too.
    else imports.push({ specifier: named(index), typeOnly: false, names: ['*'] });
  }
  return { imports, code, unreadable };
}
