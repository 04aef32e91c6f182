// Names and places for what terser has made small: whatever says the same with fewer bytes behind gzip.
//
// terser hands out the names of variables one function after the other, so that what is the same in the source is not in
// the script. Here each variable is named for itself (names.json, which names.js looks for), and functions stand where
// they compress best. What has no name there gets one that nobody in sight has.

import { minify } from "terser";

/** The syntax tree of terser, as it is before it is printed: compressed, and its members named. */
export async function treeOf(code, settings) {
  const { ast } = await minify(code, { ...settings, sourceMap: false, format: { ...settings.format, ast: true, code: false } });
  shorten(ast, new Set(Object.values(settings.nameCache.props.props)));
  return ast;
}

/**
 * What says the same in fewer bytes, and nobody sees: true, false and null that private members are set to, and true and false
 * that our own functions are given and return, are 1 and 0. What is compared with a number or a text, or with a private member, is
 * never of a kind for which == would say something else than ===.
 */
function shorten(ast, members) {
  const numbers = []; // terser makes no node for us: one is copied
  visit(ast, (node) => node.TYPE === "Number" && numbers.push(node));
  const number = (value) => Object.assign(numbers[0].clone(), { value, raw: undefined });
  const isFlag = (node) => node && node.operator === "!" && node.expression.TYPE === "Number"; // terser writes !0 and !1
  const short = (node) => (isFlag(node) ? number(+!node.expression.value) : node);
  const last = (node) => {
    if (node && node.TYPE === "Sequence") node.expressions.push(last(node.expressions.pop()));
    else if (node && node.TYPE === "Conditional") [node.consequent, node.alternative] = [last(node.consequent), last(node.alternative)];
    else return short(node);
    return node;
  };
  const isMember = ({ TYPE, property }) => TYPE === "Dot" && members.has(property);
  const isOurs = (node) => node.TYPE === "SymbolRef" || isMember(node);
  const isPlain = ({ TYPE }) => /^(Number|String)$/.test(TYPE);
  const isKnown = (one, other) => isPlain(one) || (isMember(one) && /^(SymbolRef|Dot|Sub)$/.test(other.TYPE) && other.name !== "undefined");
  visit(ast, (node) => {
    if (node.TYPE === "Assign" && node.operator === "=" && isOurs(node.left)) node.right = node.right.TYPE === "Null" && isMember(node.left) ? number(0) : short(node.right);
    else if (node.TYPE === "ObjectKeyVal" && members.has(node.key)) node.value = short(node.value);
    else if (node.TYPE === "Return" || node.TYPE === "VarDef") node.value = last(node.value);
    else if (node.TYPE === "Call" && isOurs(node.expression)) node.args = node.args.map(short);
    else if (node.TYPE === "Binary" && /^[!=]==$/.test(node.operator) && (isKnown(node.left, node.right) || isKnown(node.right, node.left))) node.operator = node.operator.slice(0, 2);
  });
}

/** The tree as text, and its map. */
export async function print(ast, settings) {
  const sourceMap = settings.sourceMap && { ...settings.sourceMap, includeSources: false };
  return minify(ast, { ...settings, compress: false, mangle: false, nameCache: null, sourceMap });
}

/** How a name is sorted by a list: by its place in it, and behind it if it has none. */
export function sorter(list) {
  const places = new Map(list.map((one, i) => [one, i]));
  const place = (one) => places.get(one) ?? list.length;
  return (one, other) => place(one) - place(other);
}

// What an object may hold whose members can stand in any order: nothing is called for it.
const STILL = /^(Function|SymbolRef|String|Number|True|False|Null|Undefined|Infinity)$/;
const isStill = ({ TYPE, expression }) => STILL.test(TYPE) || (TYPE === "UnaryPrefix" && expression.TYPE === "Number"); // !0 and !1

/**
 * Private members have marks first, which tell them apart: characters that no source has. `cache` is terser's, and learns which
 * member has which.
 */
export const MARK = 0x6000;
export const marks = { get: (n) => String.fromCharCode(MARK + n) };

/** mark -> name in the source, of all that `cache` knows. */
export function sourcesOf(cache) {
  return Object.fromEntries(Object.entries(cache.props.props).map(([name, mark]) => [mark, name.slice(1)]));
}

/**
 * A function that says whether two private members may be on one object: then they need two names. What kinds of objects have which is
 * in members.json, each without its "_"; what is nowhere in it is the session's.
 */
export function meeting(kinds) {
  const of = {};
  for (const [kind, list] of Object.entries(kinds)) for (const name of list.split(" ")) (of["_" + name] ??= []).push(kind);
  const kindsOf = (name) => of[name] || ["session"];
  return (one, other) => kindsOf(one).some((kind) => kindsOf(other).includes(kind));
}

/** Gives private members their short names: those of names.json, and what it does not know a name that no other has. */
export function nameMembers(ast, sources, short) {
  const named = (mark) => {
    if (!Object.hasOwn(sources, mark)) return mark;
    const name = sources[mark];
    return (short[name] ??= [...TWO].reverse().find((one) => !Object.values(short).includes(one)));
  };
  visit(ast, (node) => {
    if (node.TYPE === "Dot") node.property = named(node.property);
    else if (node.TYPE === "ObjectKeyVal") node.key = named(node.key);
  });
}

/**
 * Puts functions that are declared in front of everything else, in the order of their names in `names.functions`, members of objects
 * in that of `names.order`, and of `variables` (see rename()) those that one statement declares in that of `names.declared`. None of
 * it changes what the script does.
 */
export function order(ast, names, sources, variables) {
  const functions = sorter(names.functions), members = sorter(names.order), declared = sorter(names.declared);
  const nameOf = (statement) => statement.name.name;
  const keyOf = ({ key }) => (Object.hasOwn(sources, key) ? sources[key] : key);
  visit(ast, (node) => {
    if (Array.isArray(node.body) && /^(Toplevel|Defun|Function)$/.test(node.TYPE)) {
      const first = node.body.filter(({ TYPE }) => TYPE === "Directive");
      const declared = node.body.filter(({ TYPE }) => TYPE === "Defun").sort((one, other) => functions(nameOf(one), nameOf(other)));
      node.body.splice(0, node.body.length, ...first, ...declared, ...node.body.filter(({ TYPE }) => TYPE !== "Directive" && TYPE !== "Defun"));
    } else if (node.TYPE === "Object" && node.properties.every(({ TYPE, value }) => TYPE === "ObjectKeyVal" && isStill(value))) {
      node.properties.sort((one, other) => members(keyOf(one), keyOf(other)));
    } else if (node.TYPE === "Var" && variables) {
      const key = ({ name }) => variables.get(name.thedef);
      for (const { start, end } of runs(node.definitions, ({ name, value }) => variables.has(name.thedef) && (!value || isPlain(value)))) {
        node.definitions.splice(start, end - start, ...node.definitions.slice(start, end).sort((one, other) => declared(key(one), key(other))));
      }
    }
  });
}

// What variables may begin with in any order: nothing is called or read for it.
const isPlain = ({ TYPE, elements, properties }) => /^(String|Number)$/.test(TYPE) || elements?.length === 0 || properties?.length === 0;

/** Where in a list there are two or more beside each other that `suits`: {start, end}. */
export function runs(list, suits) {
  const found = [];
  for (let start = 0, end; start < list.length; start = end + 1) {
    for (end = start; end < list.length && suits(list[end]); ) end++;
    if (end > start + 1) found.push({ start, end });
  }
  return found;
}

/**
 * Variables of a module that begin with nothing become parameters that nobody gives: `var` is said less often, and a bundler gives
 * names to all at once. That is done to functions that are declared, called in this module, and nothing else. They stand behind the
 * others in the order of `list`, of "function.variable". Returns those of each function that is declared.
 */
export function asParameters(ast, list) {
  const calls = new Map(), given = new Map(), others = new Set(), functions = [], byList = sorter(list);
  let parameter; // terser makes no node for us: one is copied
  visit(ast, (node) => {
    if (node.TYPE === "Call") calls.set(node.expression, node.args.length);
    else if (node.TYPE === "Defun") functions.push(node);
    else if (node.TYPE === "SymbolFunarg") parameter = node;
  });
  visit(ast, (node) => {
    if (calls.has(node)) given.set(node.thedef, Math.max(given.get(node.thedef) || 0, calls.get(node)));
    else if (node.thedef && node.TYPE !== "SymbolDefun") others.add(node.thedef);
  });
  const isBare = ({ name, value }) => !value && name.thedef.orig.length === 1;
  return functions.map(({ name, argnames, body, uses_arguments }) => {
    if (uses_arguments || others.has(name.thedef) || given.get(name.thedef) > argnames.length) return [];
    const key = (one) => name.name + "." + one.name, found = [];
    for (const statement of body) {
      if (statement.TYPE !== "Var") continue;
      found.push(...statement.definitions.filter(isBare).map((one) => one.name));
      statement.definitions = statement.definitions.filter((one) => !isBare(one));
    }
    body.splice(0, body.length, ...body.filter(({ TYPE, definitions }) => TYPE !== "Var" || definitions.length));
    found.sort((one, other) => byList(key(one), key(other)));
    argnames.push(...found.map((one) => Object.assign(parameter.clone(), one)));
    return found.map(key);
  });
}

/** Calls `see` with each node. */
export function visit(ast, see) {
  ast.walk({
    _visit(node, descend) {
      see(node);
      if (descend) descend.call(node);
    }
  });
}

/**
 * The variables that may have other names, most used first: {key, uses, def, scope, live}. `key` says where in the source it is,
 * so that it remains when something else changes: in the function of that name, in what is assigned to that member (`sources`), or
 * else in that function of those without a name;
 * `live` are the scopes in which another of its name would be mistaken for it.
 */
export function variables(ast, toplevel, sources) {
  const all = new Map(), paths = new Map([[ast, ""]]), counts = new Map(), keys = new Map(), holders = new Map();
  const held = (value, name, owner = "") => {
    if (value.TYPE === "Object") for (const one of value.properties) held(one.value, one.key, Object.hasOwn(sources, name) ? sources[name] + "." : name + ".");
    if (value.TYPE === "Function" && !holders.has(value)) holders.set(value, owner + (Object.hasOwn(sources, name) ? sources[name] : name));
  };
  visit(ast, (node) => {
    if (node.TYPE === "VarDef" && node.value) held(node.value, node.name.name);
    else if (node.TYPE === "Assign") held(node.right, node.left.property || node.left.name);
    else if (node.TYPE === "ObjectKeyVal") held(node.value, node.key);
  });
  const functionOf = (scope) => (scope.get_defun_scope ? scope.get_defun_scope() : scope);
  const pathOf = (scope) => {
    if (paths.has(scope)) return paths.get(scope);
    const parent = functionOf(scope.parent_scope), above = pathOf(parent);
    const name = scope.TYPE === "Defun" && scope.name ? scope.name.name : (holders.get(scope) || "") + "#";
    const count = (counts.get(above + name) || 0) + 1;
    counts.set(above + name, count);
    const path = above + name + (count > 1 ? count : "") + ".";
    paths.set(scope, path);
    return path;
  };
  const fixed = new Set();
  visit(ast, (node) => {
    const def = node.thedef;
    if (!def || !def.orig) return;
    if (def.undeclared || (def.global && !toplevel) || def.name === "arguments") {
      fixed.add(def.name);
      return;
    }
    let one = all.get(def);
    if (!one) {
      let scope = functionOf(def.scope);
      // Old Internet Explorer has them outside.
      if (def.orig[0].TYPE === "SymbolLambda") scope = functionOf(def.scope.parent_scope);
      let key = pathOf(functionOf(def.scope)) + def.name;
      keys.set(key, (keys.get(key) || 0) + 1);
      if (keys.get(key) > 1) key += "'" + keys.get(key);
      all.set(def, (one = { key, def, scope, uses: 0, live: new Set([scope]) }));
    }
    one.uses++;
    for (let scope = node.scope && functionOf(node.scope); scope && scope !== one.scope; ) {
      one.live.add(scope);
      scope = scope.parent_scope && functionOf(scope.parent_scope);
    }
  });
  return { list: [...all.values()].sort((one, other) => other.uses - one.uses), fixed };
}

/** Whether two variables can't have one name. */
export function clash(one, other) {
  return one.live.has(other.scope) || other.live.has(one.scope);
}

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const ALL = [...LETTERS, ...LETTERS.toUpperCase()];
export const WORDS = ["as", "at", "do", "id", "if", "in", "is", "of", "on"]; // of the language, and what others may call their members
/** Short names, shortest first. */
export const ONE = [...ALL, "$", "_"];
export const TWO = ALL.flatMap((one) => ALL.map((other) => one + other)).filter((name) => !WORDS.includes(name));

/** Gives each variable the name that names.json has for it, or another that nobody in sight has. Returns their keys. */
export function rename(ast, names, toplevel, sources) {
  const { list, fixed } = variables(ast, toplevel, sources), owners = new Map();
  const free = (one, short) => !fixed.has(short) && !(owners.get(short) || []).some((other) => clash(one, other));
  const give = (one, short) => {
    one.def.mangled_name = short;
    owners.set(short, [...(owners.get(short) || []), one]);
  };
  const rest = list.filter((one) => {
    const short = names[one.key];
    if (!short || !free(one, short)) return true;
    give(one, short);
  });
  for (const one of rest) give(one, [...ONE, ...TWO].find((short) => free(one, short)));
  return new Map(list.map(({ def, key }) => [def, key]));
}
