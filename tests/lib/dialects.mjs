// dialects: providers of every dialect, scripted. An answer is said once, in a neutral way, and told as each of
// them tells it, whole or streamed; a request is read back into one neutral shape, so that a test asserts the same
// of all.
//
// An answer: { parts, stop, usage, error }
//     parts   { text } | { reasoning, signature } | { refusal } | { call: { id, name, args } }; args is JSON text and
//             stays as it is written, digit for digit
//     stop    'end' (default; 'calls' when there is one) | 'calls' | 'length' | 'filter'
//     usage   { input, output, cached, reasoning }: input includes cached, output includes reasoning

export const PROVIDERS = ['openai', 'anthropic', 'gemini', 'cohere', 'ollama'];

// JSON text kept as it is inside what `text` writes.
class Raw {
	constructor(json) {
		this.json = json;
	}
}
export const raw = (json) => new Raw(json);
export function text(value) {
	if (value instanceof Raw)
		return value.json;
	if (Array.isArray(value))
		return `[${value.map(text).join(',')}]`;
	if (value && typeof value === 'object')
		return `{${Object.entries(value).filter(([, v]) => v !== undefined)
			.map(([k, v]) => `${JSON.stringify(k)}:${text(v)}`).join(',')}}`;
	return JSON.stringify(value);
}
// The other way: a document whose numbers are Raw and whose objects know their own text (textOf).
const SOURCE = Symbol('source');
export const textOf = (value) => (value instanceof Raw ? value.json : value?.[SOURCE] ?? JSON.stringify(value));
export function parse(json) {
	let at = 0;
	const space = () => { while (' \t\r\n'.includes(json[at] ?? 'x')) at++; };
	const string = () => {
		const start = at++;
		while (json[at] !== '"')
			at += json[at] === '\\' ? 2 : 1;
		return JSON.parse(json.slice(start, ++at));
	};
	const value = () => {
		space();
		const start = at;
		let made;
		if (json[at] === '"')
			return string();
		if (json[at] === '{' || json[at] === '[') {
			const list = json[at] === '[';
			made = list ? [] : {};
			at++;
			for (space(); json[at] !== (list ? ']' : '}'); space()) {
				if (json[at] === ',')
					at++;
				space();
				if (list) {
					made.push(value());
				} else {
					const key = string();
					space();
					at++;
					made[key] = value();
				}
			}
			at++;
			Object.defineProperty(made, SOURCE, { value: json.slice(start, at), enumerable: false });
			return made;
		}
		while (at < json.length && !' \t\r\n,]}'.includes(json[at]))
			at++;
		const word = json.slice(start, at);
		return /^[-\d]/.test(word) ? Number.isSafeInteger(Number(word)) && String(Number(word)) === word ? Number(word) : new Raw(word)
			: JSON.parse(word);
	};
	return value();
}

const calls = (answer) => answer.parts.filter((p) => p.call).map((p) => p.call);
const joined = (answer, kind) => answer.parts.map((p) => p[kind] ?? '').join('');
const stopOf = (answer) => answer.stop ?? (calls(answer).length > 0 ? 'calls' : 'end');
const usageOf = (answer) => ({ input: 0, output: 0, cached: 0, reasoning: 0, ...answer.usage });
const whole = (piece) => [piece];

// ---- answers. Each: reply(answer, model) -> JSON text; stream(answer, model, cut) -> texts of events, of which
// cut(text) says the pieces of each text.

const openaiStops = { end: 'stop', calls: 'tool_calls', length: 'length', filter: 'content_filter' };
const openai = {
	type: 'text/event-stream',
	usage(answer) {
		const u = usageOf(answer);
		return {
			prompt_tokens: u.input, completion_tokens: u.output, total_tokens: u.input + u.output,
			prompt_tokens_details: { cached_tokens: u.cached }, completion_tokens_details: { reasoning_tokens: u.reasoning },
		};
	},
	call: (c) => ({ id: c.id, type: 'function', function: { name: c.name, arguments: c.args } }),
	legacy: (answer, model, said, finish) => ({
		id: 'cmpl-1', object: 'text_completion', created: 1790000000, model,
		choices: [{ index: 0, text: said, logprobs: null, finish_reason: finish && openaiStops[stopOf(answer)] }],
	}),
	reply(answer, model, legacy = false) {
		if (legacy)
			return text({ ...openai.legacy(answer, model, joined(answer, 'text'), true), usage: openai.usage(answer) });
		const message = { role: 'assistant', content: joined(answer, 'text') || null };
		if (joined(answer, 'reasoning'))
			message.reasoning_content = joined(answer, 'reasoning');
		if (joined(answer, 'refusal'))
			message.refusal = joined(answer, 'refusal');
		if (calls(answer).length > 0)
			message.tool_calls = calls(answer).map(openai.call);
		return text({
			id: 'chatcmpl-1', object: 'chat.completion', created: 1790000000, model,
			choices: [{ index: 0, message, logprobs: null, finish_reason: openaiStops[stopOf(answer)] }], usage: openai.usage(answer),
		});
	},
	chunk: (model, delta, finish = null) => `data: ${text({
		id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1790000000, model,
		choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }],
	})}\n\n`,
	stream(answer, model, cut = whole, legacy = false) {
		if (legacy)
			return [...cut(joined(answer, 'text')).map((piece) => openai.legacy(answer, model, piece, null)),
				openai.legacy(answer, model, '', true), { ...openai.legacy(answer, model, ''), choices: [], usage: openai.usage(answer) }]
				.map((e) => `data: ${text(e)}\n\n`).concat('data: [DONE]\n\n');
		const out = [openai.chunk(model, { role: 'assistant', content: '' })];
		let index = 0;
		for (const part of answer.parts) {
			for (const [kind, field] of [['reasoning', 'reasoning_content'], ['text', 'content'], ['refusal', 'refusal']])
				if (part[kind])
					out.push(...cut(part[kind]).map((piece) => openai.chunk(model, { [field]: piece })));
			if (!part.call)
				continue;
			out.push(openai.chunk(model, { tool_calls: [{ index, ...openai.call({ ...part.call, args: '' }) }] }));
			for (const piece of cut(part.call.args))
				out.push(openai.chunk(model, { tool_calls: [{ index, function: { arguments: piece } }] }));
			index++;
		}
		out.push(openai.chunk(model, {}, openaiStops[stopOf(answer)]));
		out.push(`data: ${text({
			id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1790000000, model, choices: [], usage: openai.usage(answer),
		})}\n\n`);
		out.push('data: [DONE]\n\n');
		return out;
	},
	midError: () => `data: ${text({ error: { message: 'broken inside', type: 'server_error', param: null, code: null } })}\n\n`,
	error: (status, message) => ({ status, body: text({ error: { message, type: 'invalid_request_error', param: null, code: null } }) }),
};

const anthropicStops = { end: 'end_turn', calls: 'tool_use', length: 'max_tokens', filter: 'refusal' };
const anthropic = {
	type: 'text/event-stream',
	usage(answer) {
		const u = usageOf(answer);
		return {
			input_tokens: u.input - u.cached, cache_creation_input_tokens: 0, cache_read_input_tokens: u.cached, output_tokens: u.output,
			output_tokens_details: u.reasoning > 0 ? { thinking_tokens: u.reasoning } : undefined,
		};
	},
	block(part) {
		if (part.call)
			return { type: 'tool_use', id: part.call.id, name: part.call.name, input: raw(part.call.args || '{}') };
		return part.reasoning !== undefined ? { type: 'thinking', thinking: part.reasoning, signature: part.signature ?? 'c2ln' }
			: { type: 'text', text: part.text ?? part.refusal };
	},
	reply: (answer, model) => text({
		id: 'msg_01', type: 'message', role: 'assistant', model, content: answer.parts.map(anthropic.block),
		stop_reason: anthropicStops[stopOf(answer)], stop_sequence: null, usage: anthropic.usage(answer),
	}),
	event: (data) => `event: ${data.type}\ndata: ${text(data)}\n\n`,
	stream(answer, model, cut = whole) {
		const usage = anthropic.usage(answer);
		const out = [
			{ type: 'message_start', message: { id: 'msg_01', type: 'message', role: 'assistant', model, content: [], stop_reason: null,
				stop_sequence: null, usage: { ...usage, output_tokens: 1 } } },
			{ type: 'ping' },
		];
		answer.parts.forEach((part, index) => {
			const delta = (d) => out.push({ type: 'content_block_delta', index, delta: d });
			const block = anthropic.block(part);
			if (block.type === 'tool_use') {
				out.push({ type: 'content_block_start', index, content_block: { ...block, input: {} } });
				delta({ type: 'input_json_delta', partial_json: '' });
				cut(part.call.args).forEach((piece) => delta({ type: 'input_json_delta', partial_json: piece }));
			} else if (block.type === 'thinking') {
				out.push({ type: 'content_block_start', index, content_block: { type: 'thinking', thinking: '', signature: '' } });
				cut(block.thinking).forEach((piece) => delta({ type: 'thinking_delta', thinking: piece }));
				delta({ type: 'signature_delta', signature: block.signature });
			} else {
				out.push({ type: 'content_block_start', index, content_block: { type: 'text', text: '' } });
				cut(block.text).forEach((piece) => delta({ type: 'text_delta', text: piece }));
			}
			out.push({ type: 'content_block_stop', index });
		});
		out.push({ type: 'message_delta', delta: { stop_reason: anthropicStops[stopOf(answer)], stop_sequence: null },
			usage: { output_tokens: usage.output_tokens, output_tokens_details: usage.output_tokens_details } });
		out.push({ type: 'message_stop' });
		return out.map(anthropic.event);
	},
	midError: () => anthropic.event({ type: 'error', error: { type: 'overloaded_error', message: 'broken inside' } }),
	error: (status, message) => ({
		status, body: text({ type: 'error', error: { type: 'invalid_request_error', message }, request_id: 'req_up' }),
	}),
};

const geminiStops = { end: 'STOP', calls: 'STOP', length: 'MAX_TOKENS', filter: 'SAFETY' };
const gemini = {
	type: 'text/event-stream',
	part(part) {
		if (part.call)
			return { functionCall: { id: part.call.id, name: part.call.name, args: raw(part.call.args || '{}') },
				thoughtSignature: part.signature };
		return part.reasoning !== undefined ? { text: part.reasoning, thought: true } : { text: part.text ?? part.refusal };
	},
	response(answer, model, parts, finishReason) {
		const u = usageOf(answer);
		return {
			candidates: [{ content: { role: 'model', parts }, finishReason, index: 0 }],
			usageMetadata: { promptTokenCount: u.input, cachedContentTokenCount: u.cached || undefined,
				candidatesTokenCount: u.output - u.reasoning, thoughtsTokenCount: u.reasoning || undefined,
				totalTokenCount: u.input + u.output },
			modelVersion: model, responseId: 'r1',
		};
	},
	reply: (answer, model) => text(gemini.response(answer, model, answer.parts.map(gemini.part), geminiStops[stopOf(answer)])),
	stream(answer, model, cut = whole) {
		const parts = answer.parts.flatMap((part) => (part.call ? [part]
			: cut(part.text ?? part.refusal ?? part.reasoning)
				.map((piece) => (part.reasoning !== undefined ? { reasoning: piece } : { text: piece }))));
		return [...parts.map((part) => gemini.response(answer, model, [gemini.part(part)])),
			gemini.response(answer, model, [{ text: '' }], geminiStops[stopOf(answer)])].map((e) => `data: ${text(e)}\r\n\r\n`);
	},
	midError: () => `data: ${text({ error: { code: 503, message: 'broken inside', status: 'UNAVAILABLE' } })}\r\n\r\n`,
	error: (status, message) => ({ status, body: text({ error: { code: status, message, status: 'INVALID_ARGUMENT' } }) }),
};

const cohereStops = { end: 'COMPLETE', calls: 'TOOL_CALL', length: 'MAX_TOKENS', filter: 'COMPLETE' };
const cohere = {
	type: 'text/event-stream',
	usage: (answer) => ({ billed_units: { input_tokens: 1, output_tokens: 1 },
		tokens: { input_tokens: usageOf(answer).input, output_tokens: usageOf(answer).output }, cached_tokens: usageOf(answer).cached }),
	content: (part) => (part.reasoning !== undefined ? { type: 'thinking', thinking: part.reasoning }
		: { type: 'text', text: part.text ?? part.refusal }),
	reply(answer) {
		const content = answer.parts.filter((p) => !p.call).map(cohere.content);
		return text({
			id: 'c14c80c3', finish_reason: cohereStops[stopOf(answer)],
			message: { role: 'assistant', content: content.length > 0 ? content : undefined,
				tool_calls: calls(answer).length > 0 ? calls(answer).map(openai.call) : undefined },
			usage: cohere.usage(answer),
		});
	},
	event: (data) => `event: ${data.type}\ndata: ${text(data)}\n\n`,
	stream(answer, model, cut = whole) {
		const out = [{ type: 'message-start', id: 'c1', delta: { message: { role: 'assistant', content: [], tool_plan: '', tool_calls: [],
			citations: [] } } }];
		let contents = 0, index = 0;
		for (const part of answer.parts) {
			if (part.call) {
				out.push({ type: 'tool-call-start', index, delta: { message: { tool_calls: openai.call({ ...part.call, args: '' }) } } });
				for (const piece of cut(part.call.args))
					out.push({ type: 'tool-call-delta', index, delta: { message: { tool_calls: { function: { arguments: piece } } } } });
				out.push({ type: 'tool-call-end', index: index++ });
				continue;
			}
			const { type, ...rest } = cohere.content(part);
			const [field, said] = Object.entries(rest)[0];
			out.push({ type: 'content-start', index: contents, delta: { message: { content: { type, [field]: '' } } } });
			for (const piece of cut(said))
				out.push({ type: 'content-delta', index: contents, delta: { message: { content: { [field]: piece } } } });
			out.push({ type: 'content-end', index: contents++ });
		}
		out.push({ type: 'message-end', id: 'c1', delta: { finish_reason: cohereStops[stopOf(answer)], usage: cohere.usage(answer) } });
		return out.map(cohere.event);
	},
	midError: () => cohere.event({ type: 'message-end', id: 'c1', delta: { finish_reason: 'ERROR', error: 'broken inside' } }),
	error: (status, message) => ({ status, body: text({ id: 'e1', message }) }),
};

const ollama = {
	type: 'application/x-ndjson',
	line: (model, more) => ({ model, created_at: '2026-09-21T13:33:20.123456789Z', ...more }),
	end(answer) {
		const u = usageOf(answer);
		return { done: true, done_reason: stopOf(answer) === 'length' ? 'length' : 'stop', total_duration: 1, load_duration: 1,
			prompt_eval_count: u.input, prompt_eval_duration: 1, eval_count: u.output, eval_duration: 1 };
	},
	call: (c) => ({ function: { name: c.name, arguments: raw(c.args || '{}') } }),
	message: (answer) => ({ role: 'assistant', content: joined(answer, 'text') + joined(answer, 'refusal'),
		thinking: joined(answer, 'reasoning') || undefined,
		tool_calls: calls(answer).length > 0 ? calls(answer).map(ollama.call) : undefined }),
	reply: (answer, model, generate) => text(ollama.line(model, {
		...(generate ? { response: joined(answer, 'text') } : { message: ollama.message(answer) }), ...ollama.end(answer),
	})),
	stream(answer, model, cut = whole, generate = false) {
		const said = (more) => (generate ? { response: more.content ?? '', thinking: more.thinking }
			: { message: { role: 'assistant', content: '', ...more } });
		const lines = [];
		for (const part of answer.parts) {
			if (part.call)
				lines.push(said({ tool_calls: [ollama.call(part.call)] }));
			else
				for (const piece of cut(part.text ?? part.refusal ?? part.reasoning))
					lines.push(said(part.reasoning !== undefined ? { thinking: piece } : { content: piece }));
		}
		return [...lines.map((l) => ({ ...l, done: false })), { ...said({}), ...ollama.end(answer) }]
			.map((l) => `${text(ollama.line(model, l))}\n`);
	},
	midError: () => `${text({ error: 'broken inside' })}\n`,
	error: (status, message) => ({ status, body: text({ error: message }) }),
};

export const dialects = { openai, anthropic, gemini, cohere, ollama };

// ---- embeddings: what each sends for vectors (JSON texts, so that their digits stay), and the texts that it was asked for

const lists = (vectors) => vectors.map(raw);
export const vectorsAs = {
	openai: (vectors, model) => ({ object: 'list', model, data: lists(vectors).map((embedding, index) => ({ object: 'embedding', index, embedding })),
		usage: { prompt_tokens: 2, total_tokens: 2 } }),
	gemini: (vectors) => ({ embeddings: lists(vectors).map((values) => ({ values })) }),
	cohere: (vectors) => ({ id: 'e1', response_type: 'embeddings_by_type', embeddings: { float: lists(vectors) },
		meta: { api_version: { version: '2' }, billed_units: { input_tokens: 2 } } }),
	ollama: (vectors, model) => ({ model, embeddings: lists(vectors), total_duration: 1, load_duration: 1, prompt_eval_count: 2 }),
};
export const textsOf = (dialect, body) =>
	(dialect === 'gemini' ? body.requests.map((r) => r.content.parts.map((p) => p.text).join('')) : [body.texts ?? body.input].flat());

// ---- requests

// Which dialect's endpoint a request of the router went to: [dialect, kind].
export function endpointOf(target) {
	const path = target.split('?')[0];
	for (const [pattern, dialect, kind] of [
		[/\/chat\/completions$/, 'openai', 'chat'], [/\/v1\/messages$/, 'anthropic', 'chat'], [/enerateContent$/, 'gemini', 'chat'],
		[/\/v2\/chat$/, 'cohere', 'chat'], [/\/api\/chat$/, 'ollama', 'chat'], [/\/api\/generate$/, 'ollama', 'generate'],
		[/EmbedContents?$|:embedContent$/, 'gemini', 'embed'], [/\/v2\/embed$/, 'cohere', 'embed'], [/\/api\/embed$/, 'ollama', 'embed'],
		[/\/embeddings$/, 'openai', 'embed'], [/\/completions$/, 'openai', 'completion'],
	])
		if (pattern.test(path))
			return [dialect, kind];
	throw new Error(`no dialect has the path ${target}`);
}
export function wantsStream(dialect, request) {
	return dialect === 'gemini' ? request.target.includes(':streamGenerateContent') : JSON.parse(request.body).stream === true;
}

const list = (content) => (typeof content === 'string' ? [{ type: 'text', text: content }] : content ?? []);
const image = (url) => ({ image: url });
const dataUrl = (media, data) => image(`data:${media};base64,${data}`);

// What a request says: { model, system: [texts], turns: [{ role: user|assistant|tool, parts }], tools: [{ name,
// description, schema }], most, stop, temperature, schema (of the answer), reasoning (in the dialect's own words), body }.
// Parts as in answers, and { image: URL or data URL }, { file }, { result: { id, name, text } }.
export function asked(dialect, request) {
	const body = parse(request.body.toString());
	return { body, ...readers[dialect](body, request), ...settings[dialect](body) };
}
// The same conversation as lines, which are alike for all dialects: who said what. How it is divided into messages is
// lost, and so are ids.
export function script(said) {
	const names = {}, lines = said.system.map((t) => `system: ${t}`);
	for (const { role, parts } of said.turns)
		for (const p of parts) {
			if (p.call)
				names[p.call.id] = p.call.name;
			lines.push(p.call ? `call: ${p.call.name} ${p.call.args}`
				: p.result ? `result: ${p.result.name ?? names[p.result.id]}: ${p.result.text}`
					: p.image ? `image: ${p.image.replace(/^data:.*;base64,/, '')}`
						: p.reasoning !== undefined ? `thought: ${p.reasoning}` : `${role}: ${p.text ?? p.plan}`);
		}
	return lines;
}
const settings = {
	openai: (b) => ({ most: b.max_completion_tokens ?? b.max_tokens, stop: b.stop, temperature: b.temperature,
		schema: b.response_format?.json_schema?.schema, reasoning: b.reasoning_effort }),
	anthropic: (b) => ({ most: b.max_tokens, stop: b.stop_sequences, temperature: b.temperature, schema: b.output_config?.format?.schema,
		reasoning: b.thinking && { thinking: b.thinking, effort: b.output_config?.effort } }),
	gemini: ({ generationConfig: g = {} }) => ({ most: g.maxOutputTokens, stop: g.stopSequences, temperature: g.temperature,
		schema: g.responseJsonSchema, reasoning: g.thinkingConfig }),
	cohere: (b) => ({ most: b.max_tokens, stop: b.stop_sequences, temperature: b.temperature, schema: b.response_format?.json_schema,
		reasoning: b.thinking }),
	ollama: ({ options: o = {}, ...b }) => ({ most: o.num_predict, stop: o.stop, temperature: o.temperature, schema: b.format,
		reasoning: b.think }),
};
const openaiParts = (m) => [
	...(m.reasoning_content ? [{ reasoning: m.reasoning_content }] : []),
	...list(m.content).map((p) => (p.type === 'text' ? { text: p.text } : p.type === 'image_url' ? image(p.image_url.url)
		: p.type === 'file' ? { file: p.file.file_data } : p)).filter((p) => p.text !== ''),
	...(m.tool_calls ?? []).map((c) => ({ call: { id: c.id, name: c.function.name, args: c.function.arguments } })),
];
const openaiTools = (tools = []) =>
	tools.map((t) => ({ name: t.function.name, description: t.function.description, schema: t.function.parameters }));
const messagesOf = (body) => body.messages ?? [{ role: 'user', content: body.prompt }];
const turn = (role, parts) => ({ role, parts });
const flat = (messages, role) => messages.filter((m) => role.includes(m.role)).flatMap((m) => list(m.content).map((p) => p.text));
const readers = {
	openai: (body) => ({
		model: body.model, system: flat(messagesOf(body), ['system', 'developer']), tools: openaiTools(body.tools),
		turns: messagesOf(body).filter((m) => !['system', 'developer'].includes(m.role)).map((m) => (m.role === 'tool'
			? turn('tool', [{ result: { id: m.tool_call_id, text: list(m.content).map((p) => p.text).join('') } }])
			: turn(m.role, openaiParts(m)))),
	}),
	anthropic: (body) => ({
		model: body.model, system: list(body.system).map((b) => b.text),
		tools: (body.tools ?? []).map((t) => ({ name: t.name, description: t.description, schema: t.input_schema })),
		turns: body.messages.map((m) => turn(m.role, list(m.content).map((b) => ({
			text: () => ({ text: b.text }),
			image: () => (b.source.type === 'url' ? image(b.source.url) : dataUrl(b.source.media_type, b.source.data)),
			document: () => ({ file: b.source.data ?? b.source.url }),
			thinking: () => ({ reasoning: b.thinking, signature: b.signature }),
			redacted_thinking: () => ({ redacted: b.data }),
			tool_use: () => ({ call: { id: b.id, name: b.name, args: textOf(b.input) } }),
			tool_result: () => ({ result: { id: b.tool_use_id, text: list(b.content).map((p) => p.text).join('') } }),
		})[b.type]()))),
	}),
	gemini: (body, request) => ({
		model: decodeURIComponent(request.target.replace(/.*\/models\//, '').replace(/:\w+(\?.*)?$/, '')),
		system: (body.systemInstruction?.parts ?? []).map((p) => p.text),
		tools: (body.tools ?? []).flatMap((t) => t.functionDeclarations ?? [])
			.map((t) => ({ name: t.name, description: t.description, schema: t.parametersJsonSchema })),
		turns: body.contents.map((m) => {
			const parts = m.parts.map((p) => (p.functionCall
				? { call: { id: p.functionCall.id, name: p.functionCall.name, args: textOf(p.functionCall.args) }, signature: p.thoughtSignature }
				: p.functionResponse ? { result: { id: p.functionResponse.id, name: p.functionResponse.name,
					text: p.functionResponse.response.output ?? textOf(p.functionResponse.response) } }
					: p.inlineData ? dataUrl(p.inlineData.mimeType, p.inlineData.data) : p.fileData ? image(p.fileData.fileUri) : { text: p.text }));
			return turn(m.role === 'model' ? 'assistant' : parts.some((p) => p.result) ? 'tool' : 'user', parts);
		}),
	}),
	cohere: (body) => ({
		model: body.model, system: flat(body.messages, ['system']), tools: openaiTools(body.tools),
		turns: body.messages.filter((m) => m.role !== 'system').map((m) => (m.role === 'tool'
			? turn('tool', [{ result: { id: m.tool_call_id, text: list(m.content).map((p) => p.text ?? textOf(p.document?.data)).join('') } }])
			: turn(m.role, [...openaiParts(m), ...(m.tool_plan ? [{ plan: m.tool_plan }] : [])]))),
	}),
	ollama: (body) => ({
		model: body.model, system: flat(body.messages ?? [], ['system']), tools: openaiTools(body.tools),
		turns: messagesOf(body).filter((m) => m.role !== 'system').map((m) => (m.role === 'tool'
			? turn('tool', [{ result: { id: m.tool_call_id, name: m.tool_name, text: m.content } }])
			: turn(m.role, [...(m.thinking ? [{ reasoning: m.thinking }] : []), ...(m.content ? [{ text: m.content }] : []),
				...(m.images ?? []).map((data) => image(data)),
				...(m.tool_calls ?? []).map((c) => ({ call: { id: c.id, name: c.function.name, args: textOf(c.function.arguments) } }))]))),
	}),
};

// ---- a provider of all dialects on one port

const chunk = (data) => Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]);
const headOf = (type) => `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`;

// From now on `peer` answers each request as answer(asked, n, conn) says (asked: as above with dialect, kind, stream): an
// answer, { vectors } of embeddings; { error: { status, message, headers } }, before anything else; or { ...answer, breaks: 'error' | 'cut' }, which
// fails in the middle, once the promise of `begun()` is kept, if there is one. `cut`: how texts of a stream are cut, of
// `size` bytes each as they are written.
export function provide(peer, answer, { cut = whole, size = Infinity, seen } = {}) {
	peer.serve(async (request, conn, n) => {
		const [dialect, kind] = endpointOf(request.target);
		const d = dialects[dialect], stream = wantsStream(dialect, request);
		const legacy = kind === 'generate' || kind === 'completion';
		const said = kind === 'embed' ? { body: JSON.parse(request.body), texts: textsOf(dialect, JSON.parse(request.body)) } : asked(dialect, request);
		Object.assign(said, { dialect, kind, stream, request });
		seen?.push(said);
		const a = await answer(said, n, conn);
		if (!a)
			return undefined;
		if (typeof a === 'string' || a.status)
			return typeof a === 'string' ? { body: a } : a;
		if (a.error)
			return { headers: a.error.headers, ...d.error(a.error.status, a.error.message) };
		if (kind === 'embed')
			return { body: text(vectorsAs[dialect](a.vectors, said.body.model)) };
		const model = a.model ?? said.model;
		if (!stream)
			return { body: d.reply(a, model, legacy) };
		const events = d.stream(a, model, cut, legacy);
		const put = async (bytes) => {
			for (let at = 0; at < bytes.length; at += size)
				await conn.send(chunk(bytes.subarray(at, at + size)));
		};
		await conn.send(headOf(d.type));
		await put(Buffer.from(events.slice(0, a.breaks ? Math.max(2, Math.floor(events.length / 2)) : events.length).join('')));
		await a.begun?.();
		if (a.breaks === 'error')
			await put(Buffer.from(d.midError()));
		if (a.breaks === 'cut')
			conn.cut();
		else
			await conn.send('0\r\n\r\n');
	});
}
// A daemon's providers, one for each dialect, at that peer; each serves the model of its name.
export const providersAt = (peer, more = {}) => Object.fromEntries(PROVIDERS.map((dialect) => [dialect, {
	dialect, base_url: dialect === 'openai' ? `${peer.url}/v1` : peer.url, models: [dialect], api_key: `sk-${dialect}`, ...more[dialect],
}]));
