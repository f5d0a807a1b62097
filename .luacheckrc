-- LuaJIT is the one Lua that this project runs on.
std = "luajit"
max_line_length = 100
