module.exports = "two";
