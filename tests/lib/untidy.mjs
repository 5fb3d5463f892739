// untidy: how providers tell an answer (random-answers.mjs), whole and streamed, in every way that is known of them:
// pieces cut anywhere, several at once, out of order, empty ones between, what nobody knows beside them.
//
//     tell(r, provider, answer) -> { answer, reply, stream: [texts], type, sequence, explanation, late, anyOrder }
//
//     answer       as this provider can tell it: what it has no word for is said with another
//     late         something comes behind the finish reason: who is cut off there cannot know
//     anyOrder     the calls may come in another order than in the whole reply
//     sequence     the provider says that a stop sequence ended it
//     explanation  of a refusal, which stands beside the answer

import { raw, text } from './dialects.mjs';
import { literal } from './random-answers.mjs';

// Pieces of a text, cut at any of its units: also in escapes that it holds, and between halves of one letter.
function pieces(r, all) {
	if (all === '' || r.chance(20))
		return [all];
	if (all.length <= 24 && r.chance(20))
		return all.split('');
	const cuts = Array.from({ length: r.between(1, 7) }, () => r.below(all.length + 1)).sort((a, b) => a - b);
	return [...cuts, all.length].map((at, i) => all.slice(i === 0 ? 0 : cuts[i - 1], at));
}

// Lists made one, each in its own order; what is drawn from one often goes on with the same.
function merged(r, lists, steady) {
	const left = lists.filter((l) => l.length > 0).map((l) => [...l]);
	const all = [];
	let at = 0;
	while (left.length > 0) {
		if (!r.chance(steady) || at >= left.length)
			at = r.below(left.length);
		all.push(left[at].shift());
		if (left[at].length === 0)
			left.splice(at, 1);
	}
	return all;
}
function sprinkled(r, list, percent, make) {
	const all = list.flatMap((one) => (r.chance(percent) ? [make(), one] : [one]));
	return r.chance(percent) ? [...all, make()] : all;
}

const called = (answer) => answer.parts.filter((p) => p.call).map((p) => p.call);
const spokenOf = (answer) => answer.parts.filter((p) => !p.call);
const joined = (answer, kind) => answer.parts.map((p) => p[kind] ?? '').join('');
// Who knows no refusals says them as text.
const unrefused = (answer) => ({ ...answer, parts: answer.parts.map((p) => (p.refusal ? { text: p.refusal } : p)) });
const trimmed = (answer) => ({ ...answer,
	parts: answer.parts.map((p) => (p.call ? { call: { ...p.call, args: p.call.args.trim() } } : p)) });
// White space between tokens has no line ends where each object is a line.
const inOneLine = (answer) => ({ ...answer,
	parts: answer.parts.map((p) => (p.call ? { call: { ...p.call, args: p.call.args.replaceAll('\n', ' ') } } : p)) });
const filtered = (answer) => ({ ...answer, stop: answer.stop === 'filter' ? 'end' : answer.stop });

// How all of one stream is spelled.
function style(r) {
	const some = r.pick([0, 0, 5, 90]);
	return {
		s: (value) => raw(literal(r, value, some)),
		eol: r.pick(['\n', '\n', '\n', '\n', '\r\n', '\r\n', '\r']),
		space: r.chance(80) ? ' ' : '',
		several: r.chance(10), comments: r.chance(10), ids: r.chance(5),
	};
}
// An event; `data`: an object, or text.
function event(r, st, data, name) {
	let said = typeof data === 'string' ? data : text(data);
	if (st.several && said.startsWith('{') && r.chance(50))
		said = `{\n${said.slice(1, -1)}\n}`;
	const lines = said.split('\n').map((l) => `data:${st.space}${l}`);
	if (name)
		lines.splice(r.chance(90) ? 0 : lines.length, 0, `event:${st.space}${name}`);
	if (st.ids && r.chance(50))
		lines.unshift('id: 7', 'retry: 100', 'unknown');
	if (st.comments && r.chance(30))
		lines.unshift(r.chance(50) ? ': OPENROUTER PROCESSING' : `: data: {}${st.eol}`);
	return lines.map((l) => l + st.eol).join('') + st.eol;
}

// ---- openai

const OPENAI_STOPS = { end: ['stop', 'stop', 'eos', 'function_call'], calls: ['tool_calls', 'tool_calls', 'stop', 'function_call'],
	length: ['length', 'model_length'], filter: ['content_filter'] };

function openaiUsage(r, u) {
	return u && {
		prompt_tokens: u.input, completion_tokens: u.output, total_tokens: u.input + u.output,
		prompt_tokens_details: r.chance(80) ? { cached_tokens: u.cached } : null,
		completion_tokens_details: r.chance(80) ? { reasoning_tokens: u.reasoning } : undefined,
	};
}
// What a delta is to a call: its own lane of them, so that they can be told behind each other or at once.
function openaiCall(r, st, mode, call, place) {
	const id = call.id === '' ? r.pick([undefined, '', null]) : st.plain(call.id);
	const index = mode.index === 'none' ? {} : { index: mode.indices[place] };
	const again = () => ({
		...index, ...(mode.named || (mode.repeats && r.chance(60)) ? { id } : r.chance(20) ? { id: r.pick(['', null]) } : {}),
		...(r.chance(10) ? { type: 'function' } : {}),
	});
	const fn = (more) => (more.name === undefined && r.chance(20) ? { ...more, name: r.pick(['', null]) } : more);
	const head = { ...index, id, type: r.chance(80) ? 'function' : undefined };
	const name = st.s(call.name);
	if (mode.objects && call.args)
		return [{ ...head, function: { name, arguments: raw(call.args) } }];
	const deltas = pieces(r, call.args).map((piece) => ({ ...again(), function: fn({ arguments: st.s(piece) }) }));
	if (mode.late && r.chance(60)) {
		const at = r.below(deltas.length + 1);
		deltas.splice(at, 0, { ...again(), function: { name, arguments: r.pick([undefined, '']) } });
		return [{ ...head, function: r.pick([undefined, {}, { arguments: '' }, { name: '', arguments: '' }]) }, ...deltas];
	}
	if (r.chance(40) || (mode.index !== 'proper' && call.id === '')) {
		const [first, ...rest] = deltas;
		return [{ ...head, function: { ...first.function, name } }, ...rest];
	}
	return [{ ...head, function: { name, arguments: r.pick(['', '', undefined, null]) } }, ...deltas];
}
function openaiMode(r, all) {
	const ids = all.every((c) => c.id !== ''), names = new Set(all.map((c) => c.name)).size === all.length;
	const telling = ids || names; // one call can be told from another without an index
	const index = r.pick(['proper', 'proper', 'proper', telling ? 'zero' : 'proper', telling ? 'none' : 'proper']);
	const places = r.pick([[0, 1, 2], [1, 2, 3], r.shuffled([5, 2, 9]), [0, 1, 2]]);
	const interleaved = r.chance(40) && (index === 'proper' || (index === 'none' && ids));
	return { index, interleaved, indices: index === 'zero' ? [0, 0, 0] : places, named: interleaved && index === 'none',
		repeats: ids && r.chance(20), late: r.chance(15) && (index === 'proper' || (index === 'none' && ids)), objects: r.chance(4) };
}
function openaiSpeech(r, st, part) {
	if (part.text !== undefined)
		return pieces(r, part.text).map((p) => ({ content: r.chance(3) ? [{ type: 'text', text: st.s(p) }] : st.s(p) }));
	if (part.refusal !== undefined)
		return pieces(r, part.refusal).map((p) => ({ refusal: st.s(p) }));
	return pieces(r, part.reasoning).map((p) => (r.chance(3) ? { content: [{ type: 'thinking', thinking: [{ type: 'text', text: st.s(p) }] }] }
		: st.both ? { reasoning_content: st.s(p), reasoning: st.s(p) } : { [st.reasoning]: st.s(p) }));
}
// Neighbours in one chunk, where they are not of the same kind, or calls.
function packed(r, deltas, percent) {
	const all = [];
	for (const d of deltas) {
		const last = all.at(-1);
		const ordered = last && !(last.refusal && d.content) && ![last, d].some((x) => Array.isArray(x.content));
		const apart = ordered && Object.keys(d).every((k) => k === 'tool_calls' || last[k] === undefined);
		if (apart && r.chance(percent))
			Object.assign(last, d, { tool_calls: last.tool_calls && d.tool_calls ? [...last.tool_calls, ...d.tool_calls] : d.tool_calls ?? last.tool_calls });
		else
			all.push({ ...d });
	}
	return all;
}
const NOTHING = [{}, null, undefined, { content: null }, { content: '' }, { tool_calls: [] }, { tool_calls: null }, { role: 'assistant', content: '' },
	{ reasoning_content: '', content: '' }, { reasoning_content: null }, { refusal: null }, { tool_calls: [{ index: 0, function: { arguments: '' } }] }];

function openaiDeltas(r, st, answer, mode) {
	const speech = spokenOf(answer).flatMap((p) => openaiSpeech(r, st, p));
	const legacy = called(answer).length === 1 && called(answer)[0].id === '' && r.chance(50);
	const lanes = called(answer).map((call, i) => (legacy
		? [{ function_call: { name: st.s(call.name), arguments: '' } }, ...pieces(r, call.args).map((p) => ({ function_call: { arguments: st.s(p) } }))]
		: openaiCall(r, st, mode, call, i).map((d) => ({ tool_calls: [d] }))));
	if (mode.index === 'proper' && r.chance(3)) // never named: nobody can call it
		lanes.splice(r.below(lanes.length + 1), 0, [{ tool_calls: [{ index: 20, id: 'nameless', type: 'function', function: { arguments: '{"a"' } }] },
			{ tool_calls: [{ index: 20, function: { arguments: ':1}' } }] }]);
	const one = mode.interleaved ? merged(r, lanes, 50) : lanes.flat();
	const all = r.chance(30) ? [...speech, ...one] : merged(r, [speech, one], 60);
	return packed(r, all, r.pick([0, 0, 20, 80]));
}
function openaiStream(r, st, answer, u, finish, sequence) {
	const mode = openaiMode(r, called(answer));
	const frame = { id: r.chance(90) ? 'chatcmpl-1' : '', object: 'chat.completion.chunk', created: r.chance(90) ? 1790000000 : 0, model: st.s('m') };
	const where = u ? r.pick(['own', 'own', 'own', 'finish', 'every', 'groq']) : 'none';
	const chunk = (delta, reason = null, more = {}) => ({ ...frame,
		choices: [{ index: r.chance(90) ? 0 : undefined, delta, logprobs: null, finish_reason: reason, ...(reason ? sequence : {}) }],
		...(where === 'every' ? { usage: reason ? u : { prompt_tokens: u.input, completion_tokens: ++st.told, total_tokens: u.input + st.told } }
			: where === 'own' && r.chance(20) ? { usage: null } : {}), ...(st.obfuscates ? { obfuscation: 'xYz09-_'.repeat(3).slice(r.below(20)) } : {}), ...more });
	const deltas = openaiDeltas(r, st, answer, mode);
	const first = mode.index === 'proper' && mode.indices[0] === 0 && !mode.late && called(answer).length > 0;
	let chunks = sprinkled(r, deltas.map((d) => chunk(d)), r.pick([0, 10, 30]), () => chunk(r.pick(first ? NOTHING : NOTHING.slice(0, -1))));
	const end = (delta) => chunk(delta, finish, where === 'finish' ? { usage: u } : where === 'groq' ? { x_groq: { usage: u } } : {});
	const late = deltas.length > 0 && r.chance(3);
	if (late)
		chunks.splice(r.below(chunks.length), 0, end({}));
	else if (chunks.length > 0 && r.chance(20))
		chunks = [...chunks.slice(0, -1), end(chunks.at(-1).choices[0].delta)];
	else
		chunks.push(end(r.pick([{}, {}, null, undefined, { content: '' }])));
	if (r.chance(80))
		chunks.unshift(chunk(r.pick([{ role: 'assistant', content: '' }, { role: 'assistant', content: null, tool_calls: [] }, { role: 'assistant' }])));
	if (r.chance(10))
		chunks.unshift({ ...frame, model: '', choices: [], prompt_filter_results: [{ prompt_index: 0 }] });
	if (r.chance(5))
		chunks.push(chunk({}, finish));
	if (where === 'every')
		chunks.slice(chunks.findIndex((c) => c.usage === u)).forEach((c) => (c.usage = u));
	if (where === 'own')
		chunks.push({ ...frame, choices: r.chance(90) ? [] : undefined, usage: u });
	const tail = r.pick(['data: [DONE]\n\n', 'data: [DONE]\n\n', 'data: [DONE]\n\n', 'data: [DONE]', 'data: [DONE] \n\n', 'data:[DONE]\r\n\r\n',
		'data: [DONE]\n\ndata: [DONE]\n\n', 'data: [DONE]\n\n: bye\n\n', '', '']);
	return { events: [...chunks.map((c) => event(r, st, c)), tail], late,
		// a name or the end of what is open may be late: then another call goes first
		anyOrder: mode.late || mode.interleaved };
}
function openai(r, given) {
	const answer = { ...given, parts: [...given.parts.filter((p) => !p.refusal), ...given.parts.filter((p) => p.refusal)] };
	const st = { ...style(r), plain: (v) => raw(JSON.stringify(v)), reasoning: r.pick(['reasoning_content', 'reasoning']), both: r.chance(5),
		obfuscates: r.chance(20), told: 0 };
	const finish = r.pick(OPENAI_STOPS[answer.stop]);
	const sequence = finish === 'stop' && r.chance(5);
	const stop = sequence ? { stop_reason: 'END' } : {};
	const u = openaiUsage(r, answer.usage);
	const message = {
		role: 'assistant', content: joined(answer, 'text') ? st.s(joined(answer, 'text')) : r.pick([null, '']),
		[st.reasoning]: joined(answer, 'reasoning') ? st.s(joined(answer, 'reasoning')) : r.pick([undefined, null, '']),
		refusal: joined(answer, 'refusal') ? st.s(joined(answer, 'refusal')) : r.pick([undefined, null]),
		tool_calls: called(answer).length === 0 ? r.pick([undefined, null, []]) : called(answer).map((c) => ({
			id: c.id === '' ? r.pick([undefined, '', null]) : st.plain(c.id), type: 'function',
			function: { name: st.s(c.name), arguments: r.chance(3) && c.args ? raw(c.args) : st.s(c.args) } })),
	};
	const reply = text({ id: 'chatcmpl-1', object: 'chat.completion', created: 1790000000, model: 'm',
		choices: [{ index: 0, message, finish_reason: finish, ...stop }], usage: u ?? undefined });
	const { events, ...more } = openaiStream(r, st, answer, u, finish, stop);
	return { answer, reply, stream: events, type: 'text/event-stream', sequence, ...more };
}

// ---- anthropic

const ANTHROPIC_STOPS = { end: ['end_turn', 'end_turn', 'stop_sequence', 'pause_turn', 'new_reason'], calls: ['tool_use'],
	length: ['max_tokens', 'model_context_window_exceeded'], filter: ['refusal'] };
const signature = (r) => 'c2lnbmF0dXJl'.slice(0, 4 * r.between(1, 3));

function anthropicBlock(r, st, part) {
	if (part.call)
		return { type: 'tool_use', id: part.call.id === '' ? r.pick([undefined, '']) : raw(JSON.stringify(part.call.id)), name: st.s(part.call.name),
			input: raw(part.call.args || '{}') };
	return part.reasoning !== undefined ? { type: 'thinking', thinking: st.s(part.reasoning), signature: signature(r) }
		: { type: 'text', text: st.s(part.text) };
}
function anthropicDeltas(r, st, index, part) {
	const delta = (d) => ({ type: 'content_block_delta', index, delta: d });
	const block = anthropicBlock(r, st, part);
	const start = (content_block) => ({ type: 'content_block_start', index, content_block });
	let all;
	if (part.call) {
		const inline = r.chance(10) && Object.keys(JSON.parse(part.call.args || '{}')).length > 0;
		all = [start(inline ? block : { ...block, input: {} }),
			...(inline ? [] : pieces(r, part.call.args)).map((p) => delta({ type: 'input_json_delta', partial_json: st.s(p) }))];
		all = [all[0], ...sprinkled(r, all.slice(1), 15, () => delta({ type: 'input_json_delta', partial_json: '' }))];
	} else {
		const kind = part.reasoning !== undefined ? 'thinking' : 'text';
		const said = pieces(r, part[kind === 'text' ? 'text' : 'reasoning']);
		const first = r.chance(10) ? st.s(said.shift()) : '';
		all = [start({ type: kind, [kind]: first, signature: kind === 'thinking' ? '' : undefined, citations: kind === 'text' && r.chance(20) ? null : undefined }),
			...said.map((p) => delta({ type: `${kind}_delta`, [kind]: st.s(p) })),
			...(kind === 'thinking' ? [delta({ type: 'signature_delta', signature: signature(r) })] : [])];
	}
	return r.chance(95) ? [...all, { type: 'content_block_stop', index }] : all;
}
// Blocks that are not the client's: of tools that ran there, and of kinds to come.
function foreignBlock(r, index) {
	return r.pick([
		[{ type: 'content_block_start', index, content_block: { type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} } },
			{ type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: '{"query":"x"}' } },
			{ type: 'content_block_stop', index }],
		[{ type: 'content_block_start', index, content_block: { type: 'new_kind', data: 1 } },
			{ type: 'content_block_delta', index, delta: { type: 'new_delta', data: 'x' } }, { type: 'content_block_stop', index }],
		[{ type: 'content_block_start', index, content_block: { type: 'redacted_thinking', data: 'cmVk' } }, { type: 'content_block_stop', index }],
	]);
}
function anthropicStream(r, st, answer, u, stop) {
	const started = u && { ...u, output_tokens: 1 };
	const out = [{ type: 'message_start', message: { id: 'msg_01', type: 'message', role: 'assistant', model: st.s('m'), content: [], stop_reason: null,
		stop_sequence: null, usage: started ?? undefined } }];
	let index = 0;
	for (const part of answer.parts) {
		if (r.chance(5))
			out.push(...foreignBlock(r, index++));
		out.push(...anthropicDeltas(r, st, index++, part));
	}
	out.push({ type: 'message_delta', delta: stop, usage: u ? (r.chance(50) ? { output_tokens: u.output_tokens } : { ...u }) : undefined });
	if (r.chance(5))
		out.push({ type: 'message_delta', delta: {}, usage: u ?? undefined });
	const all = sprinkled(r, out, r.pick([0, 10]), () => r.pick([{ type: 'ping' }, { type: 'ping' }, { type: 'new_event', data: {} }]));
	if (r.chance(95))
		all.push({ type: 'message_stop' });
	if (r.chance(5))
		all.push({ type: 'ping' });
	const unnamed = r.chance(5), untyped = !unnamed && r.chance(5);
	return all.map((e) => event(r, st, untyped && e.type !== 'new_event' ? { ...e, type: undefined } : e, unnamed ? undefined : e.type));
}
function anthropic(r, given) {
	const answer = trimmed(unrefused(given)), st = style(r);
	const reason = r.pick(ANTHROPIC_STOPS[answer.stop]);
	const explanation = answer.stop === 'filter' && r.chance(50) ? 'It may "harm".' : undefined;
	const stop = { stop_reason: reason, stop_sequence: reason === 'stop_sequence' ? 'END' : null,
		stop_details: explanation && { type: 'refusal', category: null, explanation } };
	const n = answer.usage, written = n ? r.below(n.input - n.cached + 1) * r.below(2) : 0;
	const u = n && { input_tokens: n.input - n.cached - written, cache_creation_input_tokens: written, cache_read_input_tokens: n.cached, output_tokens: n.output,
		output_tokens_details: r.chance(30) ? { thinking_tokens: n.reasoning } : undefined };
	const reply = text({ id: 'msg_01', type: 'message', role: 'assistant', model: 'm',
		content: answer.parts.map((p) => anthropicBlock(r, st, p)), ...stop, usage: u ?? undefined });
	return { answer, reply, stream: anthropicStream(r, st, answer, u, stop), type: 'text/event-stream', explanation,
		sequence: reason === 'stop_sequence' };
}

// ---- gemini

const GEMINI_STOPS = { end: ['STOP', 'STOP', 'OTHER', 'FINISH_REASON_UNSPECIFIED', 'NEW_REASON'], length: ['MAX_TOKENS'],
	filter: ['SAFETY', 'RECITATION', 'PROHIBITED_CONTENT', 'SPII'] };

function geminiPart(r, st, part, sign) {
	if (part.call)
		return { functionCall: { id: part.call.id === '' ? r.pick([undefined, '']) : raw(JSON.stringify(part.call.id)), name: st.s(part.call.name),
			args: part.call.args === '' ? r.pick([undefined, {}]) : raw(part.call.args) }, thoughtSignature: sign };
	return part.reasoning !== undefined ? { text: st.s(part.reasoning), thought: true, thoughtSignature: sign } : { text: st.s(part.text), thoughtSignature: sign };
}
function gemini(r, given) {
	const answer = trimmed(unrefused(given)), st = style(r);
	const reason = r.pick(GEMINI_STOPS[answer.stop === 'calls' ? 'end' : answer.stop]);
	const n = answer.usage;
	const u = n && { promptTokenCount: n.input, cachedContentTokenCount: n.cached || undefined, candidatesTokenCount: n.output - n.reasoning,
		thoughtsTokenCount: n.reasoning || undefined, totalTokenCount: n.input + n.output };
	// signatures stand where one thought, or the first call, ends
	const signs = answer.parts.map((p) => ((p.call || p.reasoning) && r.chance(20) ? signature(r) : undefined));
	const frame = (parts, finishReason, usageMetadata) => ({
		candidates: [{ content: parts && { role: r.chance(90) ? 'model' : undefined, parts }, finishReason, index: st.index ? 0 : undefined,
			safetyRatings: st.index ? [{ category: 'HARM_CATEGORY_HARASSMENT', probability: 'NEGLIGIBLE' }] : undefined }],
		usageMetadata, modelVersion: 'm', responseId: 'r1',
	});
	let told = 0;
	st.index = r.chance(70);
	st.counts = r.pick([0, 70, 100]);
	const empty = () => r.pick([undefined, [], [{ text: '' }]]);
	const reply = text(frame(answer.parts.length > 0 ? answer.parts.map((p, i) => geminiPart(r, st, p, signs[i])) : empty(), reason, u ?? undefined));
	let parts = answer.parts.flatMap((p, i) => (p.call ? [geminiPart(r, st, p, signs[i])]
		: pieces(r, p.text ?? p.reasoning).map((piece, k, all) => geminiPart(r, st, p.text === undefined ? { reasoning: piece } : { text: piece },
			k === all.length - 1 ? signs[i] : undefined))));
	parts = sprinkled(r, parts, r.pick([0, 10]), () => ({ text: '' }));
	const events = [];
	for (let at = 0; at < parts.length;) {
		const some = r.pick([1, 1, 2, 4]);
		events.push(frame(parts.slice(at, at + some), undefined, u && r.chance(st.counts) ? { ...u, candidatesTokenCount: ++told, totalTokenCount: undefined } : undefined));
		at += some;
	}
	const where = u ? r.pick(['finish', 'finish', 'behind']) : 'none';
	const late = events.length > 1 && r.chance(3);
	if (late || (events.length > 0 && r.chance(40)))
		events[late ? r.below(events.length - 1) : events.length - 1].candidates[0].finishReason = reason;
	else
		events.push(frame(empty(), reason));
	if (where === 'finish')
		events.at(-1).usageMetadata = u;
	if (where === 'behind')
		events.push({ candidates: r.pick([undefined, []]), usageMetadata: u, modelVersion: 'm', responseId: 'r1' });
	return { answer, reply, stream: events.map((e) => event(r, { ...st, eol: r.chance(50) ? '\r\n' : st.eol }, e)), type: 'text/event-stream', late };
}

// ---- cohere

const COHERE_STOPS = { end: ['COMPLETE', 'COMPLETE', 'STOP_SEQUENCE'], calls: ['TOOL_CALL', 'TOOL_CALL', 'COMPLETE'], length: ['MAX_TOKENS'] };

function cohereCall(r, st, call, index, ended) {
	const one = (c) => (r.chance(80) ? c : [c]);
	const said = pieces(r, call.args);
	const first = r.chance(20) ? said.shift() : '';
	const delta = (type, tool_calls) => ({ type, index, delta: { message: { tool_calls: one(tool_calls) } } });
	return [
		delta('tool-call-start', { id: call.id === '' ? r.pick([undefined, '']) : raw(JSON.stringify(call.id)), type: 'function',
			function: { name: st.s(call.name), arguments: st.s(first) } }),
		...said.map((p) => delta('tool-call-delta', { function: { arguments: st.s(p) } })),
		...(ended ? [{ type: 'tool-call-end', index }] : []),
	];
}
function cohereSpeech(r, st, part, index, plan) {
	if (plan)
		return pieces(r, part.reasoning).map((p) => ({ type: 'tool-plan-delta', delta: { message: { tool_plan: st.s(p) } } }));
	const kind = part.reasoning !== undefined ? 'thinking' : 'text';
	const said = pieces(r, part.reasoning ?? part.text);
	const first = r.chance(20) ? said.shift() : '';
	return [
		{ type: 'content-start', index, delta: { message: { content: { type: kind, [kind]: st.s(first) } } } },
		...said.map((p) => ({ type: 'content-delta', index, delta: { message: { content: { [kind]: st.s(p) } } } })),
		{ type: 'content-end', index },
	];
}
const COHERE_ASIDE = [
	{ type: 'citation-start', index: 0, delta: { message: { citations: { start: 0, end: 1, text: 'x', sources: [] } } } },
	{ type: 'citation-end', index: 0 }, { type: 'debug', prompt: 'p' }, { type: 'new-event', delta: { message: { content: 1 } } },
];
function cohere(r, given) {
	const answer = filtered(unrefused(given)), st = style(r);
	const calls = called(answer), spoken = spokenOf(answer);
	const reason = r.pick(COHERE_STOPS[calls.length === 0 && answer.stop === 'calls' ? 'end' : answer.stop]);
	const n = answer.usage;
	const u = n && { billed_units: { input_tokens: 1, output_tokens: 1 }, tokens: { input_tokens: n.input, output_tokens: n.output }, cached_tokens: n.cached };
	// the last thought before calls may be a plan
	const planned = calls.length > 0 && r.chance(50) ? spoken.findLastIndex((p) => p.reasoning !== undefined) : -1;
	const content = spoken.filter((_, i) => i !== planned).map((p) => (p.text === undefined ? { type: 'thinking', thinking: st.s(p.reasoning) }
		: { type: 'text', text: st.s(p.text) }));
	const reply = text({ id: 'c1', finish_reason: reason, message: { role: 'assistant', content: content.length > 0 ? content : r.pick([undefined, []]),
		tool_plan: planned >= 0 ? st.s(spoken[planned].reasoning) : undefined,
		tool_calls: calls.length > 0 ? calls.map((c) => ({ id: c.id === '' ? undefined : raw(JSON.stringify(c.id)), type: 'function',
			function: { name: st.s(c.name), arguments: st.s(c.args) } })) : undefined }, usage: u ?? undefined });

	const telling = calls.every((c) => c.id !== '') || new Set(calls.map((c) => c.name)).size === calls.length;
	const indices = telling && r.chance(15) ? [0, 0, 0] : r.pick([[0, 1, 2], [0, 1, 2], [1, 2, 3], r.shuffled([4, 0, 7])]);
	const reused = indices[1] === 0 && indices[2] === 0;
	const interleaved = !reused && r.chance(40);
	const speech = spoken.flatMap((p, i) => cohereSpeech(r, st, p, i, i === planned));
	const lanes = calls.map((c, i) => cohereCall(r, st, c, indices[i], reused || r.chance(95)));
	const one = interleaved ? merged(r, lanes, 50) : lanes.flat();
	const all = sprinkled(r, r.chance(40) ? [...speech, ...one] : merged(r, [speech, one], 60), r.pick([0, 10]), () => r.pick(COHERE_ASIDE));
	if (r.chance(97))
		all.unshift({ type: 'message-start', id: 'c1', delta: { message: { role: 'assistant', content: [], tool_plan: '', tool_calls: [], citations: [] } } });
	all.push({ type: 'message-end', id: 'c1', delta: { finish_reason: reason, usage: u ?? undefined } });
	const unnamed = r.chance(10), untyped = !unnamed && r.chance(10);
	const events = all.map((e) => event(r, st, untyped ? { ...e, type: undefined } : e, unnamed ? undefined : e.type));
	if (r.chance(20))
		events.push('data: [DONE]\n\n');
	return { answer, reply, stream: events, type: 'text/event-stream', sequence: reason === 'STOP_SEQUENCE', anyOrder: interleaved };
}

// ---- ollama

function ollama(r, given, generate) {
	const answer = filtered(inOneLine(trimmed(unrefused(given)))), st = style(r);
	if (generate)
		answer.parts = answer.parts.filter((p) => !p.call);
	const n = answer.usage;
	const u = n ? { prompt_eval_count: n.input, eval_count: n.output } : {};
	const zone = r.pick(['Z', 'Z', '+02:00']);
	const line = (more) => ({ model: 'm', created_at: r.chance(95) ? `2026-09-21T13:33:${r.between(10, 59)}.${r.below(1e9)}${zone}` : undefined, ...more });
	const end = () => ({ done: true, done_reason: answer.stop === 'length' ? 'length' : r.pick(['stop', undefined]), total_duration: 1, ...u });
	const call = (c) => ({ id: c.id === '' ? undefined : raw(JSON.stringify(c.id)), function: { index: r.chance(20) ? 0 : undefined, name: st.s(c.name),
		arguments: c.args === '' ? r.pick([undefined, {}]) : r.chance(5) ? st.s(c.args) : raw(c.args) } });
	const said = (d) => (generate ? { response: d.content ?? '', thinking: d.thinking } : { message: { role: 'assistant', content: '', ...d } });
	const kinds = { content: joined(answer, 'text'), thinking: joined(answer, 'reasoning') };
	const reply = text(line({ ...said({ ...(kinds.content ? { content: st.s(kinds.content) } : {}), ...(kinds.thinking ? { thinking: st.s(kinds.thinking) } : {}),
		...(called(answer).length > 0 ? { tool_calls: called(answer).map(call) } : {}) }), ...end() }));

	const deltas = answer.parts.flatMap((p) => (p.call ? [{ tool_calls: [call(p.call)] }]
		: pieces(r, p.text ?? p.reasoning).map((piece) => (p.text === undefined ? { thinking: st.s(piece) } : { content: st.s(piece) }))));
	const chunks = sprinkled(r, packed(r, deltas, r.pick([0, 30, 80])), r.pick([0, 10]), () => ({}));
	let lines = chunks.map((d) => line({ ...said(d), done: false }));
	if (lines.length > 0 && r.chance(30))
		lines = [...lines.slice(0, -1), line({ ...said(chunks.at(-1)), ...end() })];
	else
		lines.push(line({ ...(r.chance(70) ? said({}) : {}), ...end() }));
	const eol = r.pick(['\n', '\n', '\r\n']);
	const texts = sprinkled(r, lines.map((l) => text(l) + eol), r.pick([0, 10]), () => eol);
	if (r.chance(20))
		texts[texts.length - 1] = texts.at(-1).trimEnd();
	return { answer, reply, stream: texts, type: 'application/x-ndjson' };
}

const tellers = { openai, anthropic, gemini, cohere, ollama };
export const tell = (r, provider, answer, generate = false) => tellers[provider](r, answer, generate);
