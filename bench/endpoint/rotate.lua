-- For wrk, one thread of it: POST the lines of a file in turn, and print what was counted as one line of JSON. With
-- "named" behind the file's name it also counts the good answers that name no version, which costs wrk time of its own.
local requests, place = {}, 0
local only
unnamed = 0

local function count_unnamed(status, headers)
    if status == 200 and not headers["x-model-version"] then
        unnamed = unnamed + 1
    end
end

function setup(thread)
    only = thread
end

function init(arguments)
    wrk.headers["Content-Type"] = "application/json"
    for line in io.lines(arguments[1]) do
        requests[#requests + 1] = wrk.format("POST", "/invocations", wrk.headers, line)
    end
    if arguments[2] == "named" then
        response = count_unnamed
    end
end

function request()
    place = place % #requests + 1
    return requests[place]
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        '{"requests":%d,"us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"refused":%d,"broken":%d,"unnamed":%d}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
        errors.status, errors.connect + errors.read + errors.write + errors.timeout, only:get("unnamed")
    ))
end
