// The openai SDK of node.
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import * as probe from "./probe.mjs";

const { check, same, scenario, refused } = probe;
const client = new OpenAI({ baseURL: probe.BASE_URL, apiKey: probe.KEY, maxRetries: 0, timeout: 90_000 });
const question = [{ role: "user", content: probe.QUESTION }];
const Mood = z.object({ feeling: z.enum(["glad", "sad"]), strong: z.boolean() });
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Weather of a city",
    parameters: {
      type: "object",
      properties: { city: { type: "string", enum: probe.CITIES } },
      required: ["city"],
      additionalProperties: false,
    },
  },
};

const asked = (changed = {}) =>
  client.chat.completions.create({
    model: probe.MODEL,
    messages: question,
    temperature: 0,
    max_tokens: 24,
    ...changed,
  });

scenario("chat", { column: "chat" }, async () => {
  check((await asked()).choices[0].message.content, "no text");
});

scenario("stream", { column: "streaming" }, async () => {
  let text = "";
  let usage;
  for await (const chunk of await asked({ stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  same(text, (await asked()).choices[0].message.content, "text of the stream");
  check(usage.completion_tokens > 0, "no usage in the last chunk");
});

scenario("stream helper `chat.completions.stream`", { column: "streaming" }, async () => {
  const runner = client.chat.completions.stream({
    model: probe.MODEL,
    messages: question,
    max_tokens: 24,
  });
  const final = await runner.finalChatCompletion();
  check(final.choices[0].message.content, "no text");
});

scenario("the answer's message appended, and asked again", { column: "turns" }, async () => {
  const { message } = (await asked()).choices[0];
  const again = await asked({
    messages: [...question, message, { role: "user", content: probe.AGAIN }],
  });
  check(again.choices[0].message.content, "no text");
});

scenario("an emoji that JavaScript cut in two", { column: "turns" }, async () => {
  const cut = "I like this \u{1F600}".slice(0, -1);
  const answer = await asked({ messages: [{ role: "user", content: cut }] }).catch((error) => {
    same(error.status, 400, "status");
    return null;
  });
  check(answer === null || answer.choices[0].message.content, "no text");
});

scenario("`chat.completions.parse` with a zod schema", { column: "structured" }, async () => {
  const found = await client.chat.completions.parse({
    model: probe.MODEL,
    messages: question,
    max_tokens: 48,
    response_format: zodResponseFormat(Mood, "mood"),
  });
  probe.isMood(found.choices[0].message.parsed);
});

scenario("a call that is required, its result, and the answer", { column: "tools" }, async () => {
  const given = { tools: [weather], tool_choice: "required", max_tokens: 64 };
  const { message, finish_reason } = (await asked(given)).choices[0];
  same(finish_reason, "tool_calls", "finish_reason");
  const [call] = message.tool_calls;
  probe.isCity(JSON.parse(call.function.arguments));
  const result = { role: "tool", tool_call_id: call.id, content: "21 degrees" };
  const last = await asked({ messages: [...question, message, result] });
  check(last.choices[0].message.content, "no text");
});

scenario("`runTools` runs a function and comes back", { column: "tools" }, async () => {
  const seen = [];
  const tool = {
    ...weather,
    function: {
      ...weather.function,
      parse: JSON.parse,
      function: (given) => {
        seen.push(given);
        return "21 degrees";
      },
    },
  };
  const runner = client.chat.completions.runTools(
    {
      model: probe.MODEL,
      messages: question,
      tools: [tool],
      tool_choice: { type: "function", function: { name: "get_weather" } },
      max_tokens: 64,
    },
    { maxChatCompletions: 2 },
  );
  await runner.done();
  probe.isCity(seen[0]);
});

scenario("embeddings, as floats and as the SDK's base64", { column: "embeddings" }, async () => {
  const input = ["a house", "a whale"];
  const packed = await client.embeddings.create({ model: probe.EMBEDDING, input });
  const floats = await client.embeddings.create({
    model: probe.EMBEDDING,
    input,
    encoding_format: "float",
  });
  packed.data.forEach(({ embedding }, place) => {
    same(embedding.length, probe.DIMENSIONS, "dimensions");
    const other = floats.data[place].embedding;
    check(embedding.every((v, i) => Math.abs(v - other[i]) < 1e-6), "base64 and floats differ");
  });
});

scenario("an overflow is a BadRequestError with its code", { column: "errors" }, async () => {
  const messages = [{ role: "user", content: probe.TOO_LONG }];
  const error = await refused(() => asked({ messages }), "an overflow");
  check(error instanceof OpenAI.BadRequestError, `${error}`);
  same(error.code, "context_length_exceeded", "code");
  check(error.message.includes(probe.OVERFLOW), error.message);
});

scenario("an unknown model is a NotFoundError", { column: "errors" }, async () => {
  const error = await refused(() => asked({ model: "nobody" }), "an unknown model");
  check(error instanceof OpenAI.NotFoundError, `${error}`);
});

scenario("usage adds up", { column: "usage" }, async () => {
  const { usage } = await asked();
  same(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "total_tokens");
});

scenario("models: the list, and one by its name", {}, async () => {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model.id);
  same(listed[0], probe.MODEL, "first of the list");
  same((await client.models.retrieve(probe.MODEL)).id, probe.MODEL, "id");
});

scenario("Responses: text, and its stream", { column: "streaming" }, async () => {
  const given = { model: probe.MODEL, input: probe.QUESTION, max_output_tokens: 24, temperature: 0 };
  const whole = await client.responses.create(given);
  let text = "";
  for await (const event of await client.responses.create({ ...given, stream: true })) {
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  same(text, whole.output_text, "text of the stream");
});

scenario("Responses: output items appended to the input", { column: "turns" }, async () => {
  const given = { model: probe.MODEL, max_output_tokens: 24 };
  const first = await client.responses.create({ ...given, input: question });
  const input = [...question, ...first.output, { role: "user", content: probe.AGAIN }];
  check((await client.responses.create({ ...given, input })).output_text, "no text");
});

scenario("Responses: `parse` with a zod schema", { column: "structured" }, async () => {
  const found = await client.responses.parse({
    model: probe.MODEL,
    input: probe.QUESTION,
    max_output_tokens: 48,
    text: { format: zodTextFormat(Mood, "mood") },
  });
  probe.isMood(found.output_parsed);
});

await probe.run();
