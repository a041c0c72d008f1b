// What the scenarios of a node client share; the form of its lines is that of probe.py.
export const BASE_URL = process.env.MATRIX_BASE_URL;
export const MODEL = process.env.MATRIX_MODEL;
export const EMBEDDING = process.env.MATRIX_EMBEDDING;
export const KEY = "unused";
export const QUESTION = "What is the capital of France?";
export const AGAIN = "And which river runs through it?";
export const CITIES = ["Paris", "Lisbon"];
export const DIMENSIONS = 384;
export const TOO_LONG = "one two three four five six seven eight nine ten ".repeat(1200);
export const OVERFLOW = "maximum context length";

const DETAIL_LENGTH = 400;
const scenarios = [];

/** Declare a scenario; `column` and `limit` as in probe.py. */
export function scenario(name, { column = "", limit = null }, body) {
  scenarios.push({ name, column, limit, body });
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

export function same(found, expected, what) {
  check(found === expected, `${what}: ${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
}

/** The error that the body must raise. */
export async function refused(body, what) {
  try {
    await body();
  } catch (error) {
    return error;
  }
  throw new Error(`no error: ${what}`);
}

export function isCity(found) {
  check(CITIES.includes(found?.city), `arguments: ${JSON.stringify(found)}`);
}

export function isMood(found) {
  check(["glad", "sad"].includes(found?.feeling), `feeling: ${JSON.stringify(found)}`);
  check(typeof found?.strong === "boolean", `strong: ${JSON.stringify(found)}`);
}

function say(line) {
  process.stdout.write(`\n@matrix ${JSON.stringify(line)}\n`);
}

async function outcome(body) {
  try {
    const found = await body();
    return { ok: true, detail: typeof found === "string" ? found : "" };
  } catch (error) {
    console.error(error);
    const said = `${error?.name}: ${error?.message}`.replaceAll("\n", " ");
    return { ok: false, detail: said.slice(0, DETAIL_LENGTH) };
  }
}

/** Run every scenario in its order. */
export async function run() {
  const only = (process.env.MATRIX_ONLY ?? "").split(";").filter(Boolean);
  const chosen = scenarios.filter(({ name }) => !only.length || only.includes(name));
  say({ declared: chosen.map(({ name }) => name) });
  for (const { name, column, limit, body } of chosen) {
    say({ scenario: name, column, limit, ...(await outcome(body)) });
  }
}
