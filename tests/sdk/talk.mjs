// talk: a conversation with any of the vendors' SDKs, said once: the request and the answer are in the neutral shape of
// lib/dialects.mjs, so that a test says the same to all.
//
//	const talker = talk('messages', Anthropic, daemon);
//	const got = await talker.ask('gemini', { turns: [{ role: 'user', parts: [{ text: 'Hi' }] }] }, { stream: true });
//	got: { text, reasoning, calls: [{ id, name, args }], stop, usage, model, own }
//
// A request: { system: [texts], turns: [{ role, parts } or { own }], tools: [{ name, description, schema }], most, stop,
// temperature, schema, effort, more }; `own` is an answer's, given back as the SDK's users give it; `more` goes into the
// body as it is. A failure is the SDK's; what had come before it is in its `got`.
//
// The Anthropic SDK reads a call's input into doubles, and writes it from them; so that digits can be compared they are
// taken from the reply's own text, and put back into the request's, on its way through fetch.

import assert from 'node:assert/strict';
import { parse, textOf } from '../lib/dialects.mjs';
import { ANTHROPIC, OPENAI } from './sdk.mjs';

export const PROTOCOLS = { chat: OPENAI, completions: OPENAI, messages: ANTHROPIC };

export const talk = (protocol, SDK, daemon, options = {}) => new talkers[protocol](SDK, daemon, options);

const user = (text) => ({ role: 'user', parts: [{ text }] });
export const says = user;
export const results = (...all) => ({ role: 'tool', parts: all.map((result) => ({ result })) });
const textIn = (parts) => parts.map((p) => p.text ?? '').join('');
const nothing = () => ({ text: '', reasoning: '', calls: [], stop: undefined, usage: undefined });

class Talker {
	constructor(SDK, daemon, { headers, apiKey = 'sk-client', ...options }, base) {
		this.SDK = SDK;
		this.ai = new SDK({
			baseURL: base, apiKey, maxRetries: 0, defaultHeaders: headers, fetch: (url, init) => this.fetch(url, init), ...options,
		});
	}
	async fetch(url, init) {
		const reply = await globalThis.fetch(url, init);
		this.reply = reply;
		return reply;
	}
	// `got`: an object to be filled as the answer comes; the rest are options of the SDK.
	async ask(model, said, { stream = false, got = {}, ...options } = {}) {
		const body = this.body(model, said);
		Object.assign(got, nothing());
		try {
			await (stream ? this.readStream(body, got, options) : this.readWhole(body, got, options));
		} catch (error) {
			error.got = got;
			throw error;
		}
		return got;
	}
}

class Chat extends Talker {
	constructor(SDK, daemon, options) {
		super(SDK, daemon, options, `${daemon.url}/v1`);
	}
	body(model, said) {
		return {
			model, messages: [...(said.system ?? []).map((content) => ({ role: 'system', content })), ...said.turns.flatMap(chatMessages)],
			tools: said.tools?.map(({ name, description, schema }) => ({ type: 'function', function: { name, description, parameters: schema } })),
			max_tokens: said.most, stop: said.stop, temperature: said.temperature, reasoning_effort: said.effort,
			response_format: said.schema && { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: said.schema } },
			...said.more,
		};
	}
	async readWhole(body, got, options) {
		const done = await this.ai.chat.completions.create(body, options);
		const [{ message, finish_reason: stop }] = done.choices;
		Object.assign(got, {
			text: message.content ?? '', reasoning: message.reasoning_content ?? '', refusal: message.refusal, stop, model: done.model,
			calls: (message.tool_calls ?? []).map(chatCall), usage: chatUsage(done.usage), own: message,
		});
	}
	// Pieces joined as agents join them: whatever stands beside a call's name and arguments stays with it.
	async readStream(body, got, options) {
		const stream = await this.ai.chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } }, options);
		const calls = [];
		for await (const piece of stream) {
			got.model = piece.model;
			if (piece.usage)
				got.usage = chatUsage(piece.usage);
			const { delta = {}, finish_reason: stop } = piece.choices[0] ?? {};
			got.text += delta.content ?? '';
			got.reasoning += delta.reasoning_content ?? '';
			got.stop = stop ?? got.stop;
			for (const { index, function: f, ...rest } of delta.tool_calls ?? []) {
				const call = (calls[index] ??= { function: { name: '', arguments: '' } });
				Object.assign(call, rest);
				call.function.name += f?.name ?? '';
				call.function.arguments += f?.arguments ?? '';
			}
		}
		got.calls = calls.map(chatCall);
		got.own = { role: 'assistant', content: got.text || null, ...(calls.length > 0 ? { tool_calls: calls } : {}) };
	}
}
const chatPart = (p) => (p.image ? { type: 'image_url', image_url: { url: p.image } } : { type: 'text', text: p.text });
const chatCall = (c) => ({ id: c.id, name: c.function.name, args: c.function.arguments });
function chatMessages({ role, parts, own }) {
	if (own)
		return [own];
	if (role === 'tool')
		return parts.map(({ result: r }) => ({ role, tool_call_id: r.id, content: r.text }));
	if (role === 'user')
		return [{ role, content: parts.every((p) => p.text) ? textIn(parts) : parts.map(chatPart) }];
	const calls = parts.filter((p) => p.call)
		.map(({ call: c }) => ({ id: c.id, type: 'function', function: { name: c.name, arguments: c.args } }));
	return [{ role, content: textIn(parts) || null, ...(calls.length > 0 ? { tool_calls: calls } : {}) }];
}
function chatUsage(u) {
	assert.equal(u.total_tokens, u.prompt_tokens + u.completion_tokens, 'the total is the sum');
	return {
		input: u.prompt_tokens, output: u.completion_tokens, cached: u.prompt_tokens_details?.cached_tokens,
		reasoning: u.completion_tokens_details?.reasoning_tokens,
	};
}

// The prompt is what the user said last.
class Completions extends Chat {
	body(model, said) {
		return { model, prompt: textIn(said.turns.at(-1).parts), max_tokens: said.most, stop: said.stop, temperature: said.temperature, ...said.more };
	}
	async readWhole(body, got, options) {
		const done = await this.ai.completions.create(body, options);
		assert.equal(done.object, 'text_completion');
		const [{ text, finish_reason: stop }] = done.choices;
		Object.assign(got, { text, stop, model: done.model, usage: chatUsage(done.usage) });
	}
	async readStream(body, got, options) {
		for await (const piece of await this.ai.completions.create({ ...body, stream: true, stream_options: { include_usage: true } }, options)) {
			assert.equal(piece.object, 'text_completion');
			got.model = piece.model;
			if (piece.usage)
				got.usage = chatUsage(piece.usage);
			got.text += piece.choices[0]?.text ?? '';
			got.stop = piece.choices[0]?.finish_reason ?? got.stop;
		}
	}
}

class Messages extends Talker {
	constructor(SDK, daemon, options) {
		super(SDK, daemon, options, daemon.url);
	}
	async fetch(url, init) {
		if (typeof init?.body === 'string')
			init = { ...init, body: init.body.replace(/\{"\$raw":("(?:[^"\\]|\\.)*")\}/g, (_, json) => JSON.parse(json)) };
		const reply = await super.fetch(url, init);
		this.text = reply.headers.get('content-type')?.startsWith('application/json') ? reply.clone().text().catch(() => undefined) : undefined;
		return reply;
	}
	body(model, said) {
		return {
			model, max_tokens: said.most ?? 1000, stop_sequences: said.stop, temperature: said.temperature,
			system: said.system?.length > 0 ? said.system.map((text) => ({ type: 'text', text })) : undefined,
			messages: said.turns.map(messagesTurn),
			tools: said.tools?.map(({ name, description, schema }) => ({ name, description, input_schema: schema })),
			thinking: said.effort && { type: 'adaptive' },
			output_config: (said.schema || said.effort)
				&& { effort: said.effort, format: said.schema && { type: 'json_schema', schema: said.schema } },
			...said.more,
		};
	}
	async readWhole(body, got, options) {
		const message = await this.ai.messages.create(body, options);
		const raw = parse(await this.text).content;
		this.#message(message, got, (i) => textOf(raw[i].input));
	}
	async readStream(body, got, options) {
		const stream = this.ai.messages.stream(body, options), args = [];
		stream.on('text', (piece) => (got.text += piece));
		stream.on('streamEvent', (e) => {
			if (e.delta?.type === 'input_json_delta')
				args[e.index] = (args[e.index] ?? '') + e.delta.partial_json;
		});
		const message = await stream.finalMessage();
		const streamed = got.text;
		this.#message(message, got, (i) => args[i] || '{}');
		assert.equal(got.text, streamed, 'the pieces are the whole');
	}
	#message({ content, stop_reason: stop, usage: u, model }, got, argsOf) {
		const said = (type, field) => content.filter((b) => b.type === type).map((b) => b[field]).join('');
		const blocks = content.map((b, i) => {
			if (b.type !== 'tool_use')
				return b;
			if (!/\de\d/.test(argsOf(i))) // which version 0.60 reads wrong from a stream
				assert.deepEqual(b.input, JSON.parse(argsOf(i)), 'what the SDK has read is what was sent');
			got.calls.push({ id: b.id, name: b.name, args: argsOf(i) });
			return { type: b.type, id: b.id, name: b.name, input: { $raw: argsOf(i) } };
		});
		Object.assign(got, {
			text: said('text', 'text'), reasoning: said('thinking', 'thinking'), stop, model, own: { role: 'assistant', content: blocks },
			usage: { input: u.input_tokens + u.cache_creation_input_tokens + u.cache_read_input_tokens, output: u.output_tokens,
				cached: u.cache_read_input_tokens },
		});
	}
}
function messagesTurn({ role, parts, own }) {
	return own ?? { role: role === 'tool' ? 'user' : role, content: parts.map((p) => {
		if (p.image) {
			const [, media_type, data] = p.image.match(/^data:(.*);base64,(.*)$/) ?? [];
			return { type: 'image', source: data ? { type: 'base64', media_type, data } : { type: 'url', url: p.image } };
		}
		if (p.call)
			return { type: 'tool_use', id: p.call.id, name: p.call.name, input: { $raw: p.call.args } };
		return p.result ? { type: 'tool_result', tool_use_id: p.result.id, content: p.result.text } : { type: 'text', text: p.text };
	}) };
}

const talkers = { chat: Chat, completions: Completions, messages: Messages };
