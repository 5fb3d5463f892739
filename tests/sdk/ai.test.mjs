// ai: the AI SDK, with its clients of both protocols, at a provider of every dialect.

import assert from 'node:assert/strict';
import { PROVIDERS, provide, providersAt, script } from '../lib/dialects.mjs';
import { scenario, until } from '../lib/scenario.mjs';
import { aiSdk, collect, failure } from './sdk.mjs';

const { APICallError, RetryError, createAnthropic, createOpenAI, generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } = aiSdk();

const CLIENTS = {
	openai: (daemon) => createOpenAI({ baseURL: `${daemon.url}/v1`, apiKey: 'sk-client' }).chat,
	anthropic: (daemon) => createAnthropic({ baseURL: `${daemon.url}/v1`, apiKey: 'sk-client' }),
};
// How each is asked to think.
const THINK = {
	openai: { openai: { reasoningEffort: 'medium' } },
	anthropic: { anthropic: { thinking: { type: 'enabled', budgetTokens: 6000 } } },
};
const USAGE = { input: 20, output: 9 };
const SCHEMA = {
	type: 'object', properties: { city: { type: 'string' }, c: { type: 'number' } }, required: ['city', 'c'], additionalProperties: false,
};
const weather = tool({
	description: 'Weather now', inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }),
	execute: ({ city }) => `cold in ${city}`,
});
const call = (id, name, args) => ({ call: { id, name, args } });
const once = { maxRetries: 0 };

// A daemon, a provider that answers as `at.now` says (an answer, or a function of what it was asked), and a model.
async function setup(s, client, provider) {
	const peer = await s.peer();
	const daemon = await s.daemon({ providers: providersAt(peer) });
	const at = { now: undefined, seen: [], peer, daemon };
	provide(peer, (said, n, conn) => (typeof at.now === 'function' ? at.now(said, conn) : { usage: USAGE, ...at.now }),
		{ cut: (text) => text.match(/[\s\S]{1,4}/gu) ?? [], seen: at.seen });
	at.model = CLIENTS[client](daemon)(provider);
	at.last = () => at.seen.at(-1);
	return at;
}

for (const client of Object.keys(CLIENTS))
	for (const provider of PROVIDERS) {
		const of = `AI SDK, ${client}'s client, ${provider}`;

		scenario(`${of}: text and reasoning, whole and streamed`, async (s) => {
			const at = await setup(s, client, provider), { model } = at;
			const ask = { model, system: 'Be brief.', prompt: 'Hi ☃', maxOutputTokens: 50, ...once };
			at.now = { parts: [{ text: 'Hello there, ☃.' }] };
			const done = await generateText(ask);
			assert.deepEqual([done.text, done.finishReason], ['Hello there, ☃.', 'stop']);
			assert.deepEqual([done.usage.inputTokens, done.usage.outputTokens], [20, 9]);
			assert.deepEqual(script(at.last()), ['system: Be brief.', 'user: Hi ☃']);
			assert.equal(at.last().most, 50);
			const stream = streamText(ask);
			const pieces = await collect(stream.textStream);
			assert.ok(pieces.length > 1 && pieces.join('') === done.text, `${pieces}`);
			assert.deepEqual([await stream.finishReason, (await stream.usage).outputTokens], ['stop', 9]);
			assert.equal(at.last().stream, true);

			// This client of OpenAI's protocol knows no reasoning: it must not become text.
			at.now = { parts: [{ reasoning: 'It snows.' }, { text: 'Cold.' }] };
			const thinking = { ...ask, providerOptions: THINK[client] };
			const shown = client === 'anthropic' ? 'It snows.' : undefined;
			const thought = await generateText(thinking);
			assert.deepEqual([thought.text, thought.reasoningText], ['Cold.', shown]);
			const streamed = streamText(thinking);
			assert.deepEqual([await streamed.text, await streamed.reasoningText], ['Cold.', shown]);
		});

		scenario(`${of}: a tool's round trip, calls in parallel, whole and streamed`, async (s) => {
			const at = await setup(s, client, provider), { model } = at;
			at.now = (said) => (said.turns.some((t) => t.role === 'tool' || t.parts.some((p) => p.result)) ? { parts: [{ text: 'Cold in both.' }], usage: USAGE }
				: { parts: [{ text: 'Let me look.' }, call('call_1', 'weather', '{"city":"Oslo"}'), call('call_2', 'weather', '{"city":"Lima"}')], usage: USAGE });
			const ask = { model, prompt: 'Weather in Oslo and Lima?', tools: { weather }, stopWhen: stepCountIs(3), ...once };
			const check = ({ text, steps }) => {
				assert.equal(text, 'Cold in both.');
				assert.deepEqual(steps.map((step) => step.finishReason), ['tool-calls', 'stop']);
				assert.deepEqual(steps[0].toolCalls.map((c) => c.input), [{ city: 'Oslo' }, { city: 'Lima' }]);
				if (provider !== 'ollama')
					assert.deepEqual(steps[0].toolCalls.map((c) => c.toolCallId), ['call_1', 'call_2']);
				assert.deepEqual(script(at.last()), ['user: Weather in Oslo and Lima?',
					'assistant: Let me look.', 'call: weather {"city":"Oslo"}', 'call: weather {"city":"Lima"}',
					'result: weather: cold in Oslo', 'result: weather: cold in Lima'].sort(byPlace(at.last())));
				assert.deepEqual(at.last().tools.map((t) => [t.name, t.description]), [['weather', 'Weather now']]);
			};
			check(await generateText(ask));
			const stream = streamText(ask);
			await stream.consumeStream();
			check({ text: await stream.text, steps: await stream.steps });
		});

		scenario(`${of}: an image and an object`, async (s) => {
			const at = await setup(s, client, provider), { model } = at;
			at.now = { parts: [{ text: 'A pixel.' }] };
			const png = Buffer.from('iVBORw0KGgo=', 'base64');
			const seen = await generateText({ model, ...once,
				messages: [{ role: 'user', content: [{ type: 'text', text: 'What?' }, { type: 'image', image: png, mediaType: 'image/png' }] }] });
			assert.equal(seen.text, 'A pixel.');
			assert.deepEqual(script(at.last()), ['user: What?', `image: ${png.toString('base64')}`]);

			// Anthropic's client of the AI SDK asks models that it does not know by a tool that stands in for the format.
			const json = '{"city":"Oslo","c":-3}';
			at.now = (said) => ({ parts: [said.tools.length > 0 ? call('call_1', said.tools[0].name, json) : { text: json }], usage: USAGE });
			const made = await generateObject({ model, schema: jsonSchema(SCHEMA), prompt: 'Weather in Oslo?', ...once });
			assert.deepEqual(made.object, { city: 'Oslo', c: -3 });
			const { schema } = at.last().tools[0] ?? at.last();
			assert.deepEqual([schema.type, Object.keys(schema.properties), schema.required], ['object', ['city', 'c'], ['city', 'c']]);
		});

		scenario(`${of}: errors of each class`, async (s) => {
			const at = await setup(s, client, provider), { model } = at;
			const own = client === provider;
			const overloaded = client === 'anthropic' && !own ? 529 : 503;
			for (const [status, shown, again] of [[400, 400, false], [401, 502, false], [404, 404, false], [429, 429, true], [500, own ? 500 : 502, true], [503, overloaded, true]])
				for (const how of [generateText, streamed]) {
					at.now = { error: { status, message: `it said ${status}`, headers: { 'retry-after': '7' } } };
					const error = await failure(how({ model, prompt: 'Hi', ...once }));
					assert.ok(APICallError.isInstance(error), `${status}: ${error}`);
					assert.equal(error.statusCode, shown);
					assert.equal(error.message.includes(`it said ${status}`), status !== 401, error.message);
					if (status === 429 || status === 503)
						assert.equal(error.responseHeaders['retry-after'], '7');
					if (status !== 401)
						assert.equal(error.isRetryable, again, `${status}: again`);
				}
			// It comes again, when it is told to.
			let asked = 0;
			at.now = () => (asked++ === 0 ? { error: { status: 429, message: 'later', headers: { 'retry-after-ms': '20' } } }
				: { parts: [{ text: 'Hello.' }], usage: USAGE });
			assert.equal((await generateText({ model, prompt: 'Hi', maxRetries: 1 })).text, 'Hello.');
			assert.equal(asked, 2);
			at.now = { error: { status: 503, message: 'never', headers: { 'retry-after-ms': '20' } } };
			assert.ok(RetryError.isInstance(await failure(generateText({ model, prompt: 'Hi', maxRetries: 1 }))));
			// In the middle of a stream.
			const parts = [];
			at.now = { parts: [{ text: 'one two three four' }], breaks: 'error', begun: () => until(() => parts.some((p) => p.type === 'text-delta'), 'it has begun') };
			for await (const part of streamText({ model, prompt: 'Hi', onError: () => {}, ...once }).fullStream)
				parts.push(part);
			const error = parts.find((p) => p.type === 'error');
			assert.match(JSON.stringify(error?.error?.message ?? error?.error ?? ''), /broken inside/);
			assert.notEqual(parts.findLast((p) => p.type === 'finish')?.finishReason, 'stop');
		});

		scenario(`${of}: abort closes the provider's connection`, async (s) => {
			const at = await setup(s, client, provider), { model } = at;
			let conn;
			const hangs = (answer) => (said, c) => {
				conn = c;
				return answer;
			};
			at.now = hangs(undefined); // it never answers
			let abort = new AbortController();
			const asked = failure(generateText({ model, prompt: 'Hi', abortSignal: abort.signal, ...once }));
			await until(() => conn, 'the provider is asked');
			abort.abort();
			assert.equal((await asked).name, 'AbortError');
			await conn.closed(5000);

			abort = new AbortController();
			at.now = hangs({ parts: [{ text: 'one two three four' }], breaks: 'error', begun: () => new Promise(() => {}), usage: USAGE });
			const pieces = [];
			for await (const piece of streamText({ model, prompt: 'Hi', abortSignal: abort.signal, onError: () => {}, ...once }).textStream) {
				pieces.push(piece);
				abort.abort();
			}
			assert.ok(pieces.length > 0);
			await conn.closed(5000);
			await until(() => at.daemon.access.filter((l) => l.end === 'client_gone').length === 2, 'both are in the log');
		});
	}

async function streamed(ask) {
	let failed;
	const stream = streamText({ ...ask, onError: ({ error }) => (failed = error) });
	await stream.consumeStream();
	if (failed)
		throw failed;
}
// No provider but Cohere, to which the words before a call are its plan, has them behind it.
function byPlace({ dialect }) {
	const place = (line) => (line.startsWith('call') ? 1 : line.startsWith('assistant') ? (dialect === 'cohere' ? 2 : 0) : line.startsWith('user') ? -1 : 3);
	return (a, b) => place(a) - place(b);
}
