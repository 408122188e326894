-- What a person does in Neovim: saves a file with a fault, sees it at its line, mends it, saves.
-- Its arguments come by the environment; a line for each step goes to the file REPORT.
local report = assert(io.open(vim.env.REPORT, "w"))

local function tell(...)
  report:write(string.format(...), "\n")
  report:flush()
end

local function until_true(what, holds)
  if not vim.wait(120000, holds, 20) then
    tell("time is up: %s", what)
    vim.cmd("cquit")
  end
end

local function found()
  return vim.diagnostic.get(0)
end

vim.cmd("filetype on")
vim.cmd("edit " .. vim.env.FILE)
local clients = vim.lsp.get_clients or vim.lsp.get_active_clients
until_true("attach", function()
  local client = clients()[1]
  return client ~= nil and client.initialized
end)
tell("attached %s", clients()[1].name or "?")

local good = vim.api.nvim_buf_get_lines(0, 0, -1, true)
vim.api.nvim_buf_set_lines(0, 0, -1, true, vim.fn.readfile(vim.env.BROKEN))
vim.cmd("silent write")
until_true("a diagnostic", function()
  return #found() > 0
end)
for _, item in ipairs(found()) do
  tell("%d:%d %s", item.lnum + 1, item.col + 1, tostring(item.code))
end

vim.api.nvim_buf_set_lines(0, 0, -1, true, good)
vim.cmd("silent write")
until_true("no diagnostic", function()
  return #found() == 0
end)
tell("mended")
vim.cmd("qall!")
