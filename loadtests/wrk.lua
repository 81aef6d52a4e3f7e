-- Sends one request again and again, each time under an id of its own, and checks what comes back.
-- Arguments: file of the request up to its id, file of the rest, file of the piece that every right
-- answer holds, and how many answers pass between two looks for it.

local threads = {}

function setup(thread)
   table.insert(threads, thread)
end

local function read(path)
   local file = assert(io.open(path, "rb"))
   local content = file:read("*a")
   file:close()
   return content
end

function init(args)
   head, tail, expected = read(args[1]), read(args[2]), read(args[3])
   look_every = tonumber(args[4])
   sent, refused, looked, wrong = 0, 0, 0, 0
   answered = 0
end

function request()
   sent = sent + 1
   return head .. string.format("%012d", sent) .. tail
end

function response(status, _, body)
   answered = answered + 1
   if status ~= 200 then
      refused = refused + 1
   elseif answered % look_every == 1 then
      looked = looked + 1
      if not string.find(body, expected, 1, true) then
         wrong = wrong + 1
      end
   end
end

function done(summary, latency, _)
   local total = {refused = 0, looked = 0, wrong = 0}
   for _, thread in ipairs(threads) do
      for name in pairs(total) do
         total[name] = total[name] + thread:get(name)
      end
   end
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"answers":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,' ..
      '"refused":%d,"looked":%d,"wrong":%d,"broken":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      total.refused, total.looked, total.wrong,
      errors.connect + errors.read + errors.write + errors.timeout))
end
