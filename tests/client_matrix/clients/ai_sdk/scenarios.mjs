// Vercel's AI SDK: the provider for compatible endpoints, and the one for OpenAI.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import * as ai from "ai";
import { z } from "zod";
import * as probe from "./probe.mjs";

const { check, same, scenario, refused } = probe;
const compatible = createOpenAICompatible({
  name: "enginehouse",
  baseURL: probe.BASE_URL,
  apiKey: probe.KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const openai = createOpenAI({ baseURL: probe.BASE_URL, apiKey: probe.KEY });
const providers = {
  "openai-compatible": compatible(probe.MODEL),
  "openai, chat": openai.chat(probe.MODEL),
  "openai, Responses": openai.responses(probe.MODEL),
};
const Mood = z.object({ feeling: z.enum(["glad", "sad"]), strong: z.boolean() });
const tools = {
  get_weather: ai.tool({
    description: "Weather of a city",
    inputSchema: z.object({ city: z.enum(probe.CITIES) }),
    execute: async () => "21 degrees",
  }),
};

const given = (model) => ({
  model,
  maxOutputTokens: 200, // several calls fit
  temperature: 0,
  maxRetries: 0,
  abortSignal: AbortSignal.timeout(90_000),
});

for (const [name, model] of Object.entries(providers)) {
  scenario(`${name}: generateText`, { column: "chat" }, async () => {
    const { text } = await ai.generateText({ ...given(model), prompt: probe.QUESTION });
    check(text, "no text");
  });

  scenario(`${name}: streamText`, { column: "streaming" }, async () => {
    const result = ai.streamText({
      ...given(model),
      prompt: probe.QUESTION,
      onError: ({ error }) => {
        throw error;
      },
    });
    let text = "";
    for await (const part of result.textStream) text += part;
    check(text, "no text");
    check((await result.usage).outputTokens > 0, "no usage");
  });

  scenario(`${name}: response messages appended, and asked again`, { column: "turns" }, async () => {
    const messages = [{ role: "user", content: probe.QUESTION }];
    const first = await ai.generateText({ ...given(model), messages });
    messages.push(...first.response.messages, { role: "user", content: probe.AGAIN });
    check((await ai.generateText({ ...given(model), messages })).text, "no text");
  });

  scenario(`${name}: an object of a schema`, { column: "structured" }, async () => {
    const { output } = await ai.generateText({
      ...given(model),
      prompt: probe.QUESTION,
      output: ai.Output.object({ schema: Mood }),
    });
    probe.isMood(output);
  });

  scenario(`${name}: a required tool, then the answer`, { column: "tools" }, async () => {
    const { steps } = await ai.generateText({
      ...given(model),
      prompt: "What is the weather in Lisbon?",
      tools,
      prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber ? "none" : "required" }),
      stopWhen: ai.isStepCount ? ai.isStepCount(2) : ai.stepCountIs(2),
    });
    probe.isCity(steps[0].toolCalls[0].input);
    check(steps[1].text, "no text after the call");
  });

  scenario(`${name}: a streamed required tool`, { column: "tools" }, async () => {
    const result = ai.streamText({
      ...given(model),
      prompt: "What is the weather in Lisbon?",
      tools,
      toolChoice: "required",
    });
    probe.isCity((await result.toolCalls)[0].input);
  });

  scenario(`${name}: usage`, { column: "usage" }, async () => {
    const { usage } = await ai.generateText({ ...given(model), prompt: probe.QUESTION });
    check(usage.inputTokens > 0 && usage.outputTokens > 0, JSON.stringify(usage));
  });

  scenario(`${name}: an overflow says so, and is not retried`, { column: "errors" }, async () => {
    const error = await refused(
      () => ai.generateText({ ...given(model), prompt: probe.TOO_LONG }),
      "an overflow",
    );
    check(ai.APICallError.isInstance(error), `${error}`);
    same(error.statusCode, 400, "status");
    same(error.isRetryable, false, "isRetryable");
    check(error.message.includes(probe.OVERFLOW), error.message);
  });
}

scenario("an unknown model is a 404", { column: "errors" }, async () => {
  const error = await refused(
    () => ai.generateText({ ...given(compatible("nobody")), prompt: probe.QUESTION }),
    "an unknown model",
  );
  same(error.statusCode, 404, "status");
});

for (const [name, model] of Object.entries({
  "openai-compatible": compatible.embeddingModel?.(probe.EMBEDDING) ?? compatible.textEmbeddingModel(probe.EMBEDDING),
  openai: openai.embeddingModel?.(probe.EMBEDDING) ?? openai.textEmbeddingModel(probe.EMBEDDING),
})) {
  scenario(`${name}: embedMany`, { column: "embeddings" }, async () => {
    const { embeddings } = await ai.embedMany({ model, values: ["a house", "a whale"] });
    same(embeddings[0].length, probe.DIMENSIONS, "dimensions");
  });
}

await probe.run();
