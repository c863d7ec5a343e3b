"""The template, the roles and the build, as text and as what they make: no stack is started."""
